package io.chorale.process;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.chorale.testing.Command;
import java.io.IOException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;

/** The image of the executable, as far as it can be built and run without a registry and an engine of containers. */
@Tag("long")
@EnabledIfSystemProperty(named = "native.image.path", matches = ".+", disabledReason = "the executable was not built")
class ImageIT {
    private static final String USER = "1001";
    private static final int START_SECONDS_MAX = 60;

    @Test
    void shouldServeWithoutRightsAndWithoutAFileToWrite(@TempDir Path folder) throws Exception {
        assumeTrue(Files.getAttribute(Path.of("/proc/self"), "unix:uid").equals(0), "buildah needs root here");
        LocalImage image = LocalImage.build(
                Path.of("Dockerfile.native"), Path.of(System.getProperty("native.image.path")), folder);
        assertEquals(USER, image.inspect("{{.OCIv1.Config.User}}"));
        String container = image.container();
        Path tmp = Files.createDirectory(folder.resolve("tmp"));
        Files.setPosixFilePermissions(tmp, PosixFilePermissions.fromString("rwxrwxrwx"));
        int port;
        try (ServerSocket free = new ServerSocket(0)) {
            port = free.getLocalPort();
        }
        List<String> entry = new ArrayList<>(List.of(
                image.inspect("{{range .OCIv1.Config.Entrypoint}}{{.}} {{end}}").split(" ")));
        entry.add("-Dquarkus.http.port=" + port);
        Path log = folder.resolve("log");
        Process buildah = new ProcessBuilder(image.run(container, tmp, entry))
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        try {
            assertTrue(ready(port, buildah), () -> "not ready: " + text(log));
            ProcessHandle service = buildah.descendants()
                    .filter(child -> child.info().command().orElse("").endsWith("/app/chorale"))
                    .findFirst()
                    .orElseThrow();
            assertEquals(Integer.valueOf(USER), Files.getAttribute(Path.of("/proc/" + service.pid()), "unix:uid"));
            assertTrue(ask(port).contains("\"finish_reason\":\"stop\""), "it answers from the bundled model");
            Command.Result healthy = Command.run(
                    60,
                    image.run(
                            container,
                            tmp,
                            List.of("curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:" + port + "/q/health/live")));
            assertEquals(0, healthy.status(), healthy.errors());
            service.destroy();
            assertTrue(buildah.waitFor(30, TimeUnit.SECONDS), () -> "SIGTERM does not end it: " + text(log));
        } finally {
            buildah.descendants().forEach(ProcessHandle::destroyForcibly);
            buildah.destroyForcibly();
        }
        try (Stream<Path> files = Files.walk(image.files(container))) {
            List<Path> written = files.filter(ImageIT::isOfUser).toList();
            assertEquals(List.of(), written, "a file system that is read-only would have refused these");
        }
    }

    private static boolean isOfUser(Path file) {
        try {
            return Files.getAttribute(file, "unix:uid", LinkOption.NOFOLLOW_LINKS)
                    .toString()
                    .equals(USER);
        } catch (IOException gone) {
            return false;
        }
    }

    private static boolean ready(int port, Process process) throws InterruptedException {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(START_SECONDS_MAX);
        while (System.nanoTime() < until && process.isAlive()) {
            try (HttpClient http = HttpClient.newHttpClient()) {
                HttpRequest ready = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + "/q/health/ready"))
                        .build();
                if (http.send(ready, HttpResponse.BodyHandlers.discarding()).statusCode() == 200) {
                    return true;
                }
            } catch (IOException notYet) {
                // Not listening yet.
            }
            Thread.sleep(100);
        }
        return false;
    }

    private static String ask(int port) throws IOException, InterruptedException {
        String question = "{\"model\":\"pirate\",\"messages\":[{\"role\":\"user\",\"content\":\"Tell me a story about a"
                + " fox named Kit.\"}],\"temperature\":0}";
        HttpRequest request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + "/v1/chat/completions"))
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(question))
                .build();
        try (HttpClient http = HttpClient.newHttpClient()) {
            return http.send(request, HttpResponse.BodyHandlers.ofString()).body();
        }
    }

    private static String text(Path log) {
        try {
            return Files.readString(log);
        } catch (IOException unreadable) {
            return String.valueOf(unreadable.getMessage());
        }
    }
}
