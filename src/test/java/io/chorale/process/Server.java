package io.chorale.process;

import java.io.IOException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** One process of the packaged application, with a simulated engine: the executable where it was built, else the jar. */
final class Server implements AutoCloseable {
    private static final Duration START_MAX = Duration.ofSeconds(90);
    private static final HttpClient HTTP =
            HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(5)).build();

    private final Process process;
    private final Path log;
    final int port;

    private Server(Process process, Path log, int port) {
        this.process = process;
        this.log = log;
        this.port = port;
    }

    /** @param settings such as {@code chorale.lifecycle.drain-grace=5S} */
    static Server start(String name, String... settings) throws IOException {
        int port;
        try (ServerSocket free = new ServerSocket(0)) {
            port = free.getLocalPort();
        }
        Path log = Path.of("target/process-tests", name + ".log");
        Files.createDirectories(log.getParent());
        List<String> command = command();
        List<String> properties = new ArrayList<>(List.of(
                "quarkus.http.port=" + port,
                "quarkus.http.host=127.0.0.1",
                "chorale.engine.kind=simulated",
                "chorale.engine.simulated.step=20MS",
                "chorale.engine.simulated.stop-probability=0",
                "chorale.native.dir=" + Path.of("target/native").toAbsolutePath()));
        properties.addAll(List.of(settings));
        int at = command.contains("-jar") ? command.indexOf("-jar") : command.size();
        command.addAll(at, properties.stream().map(property -> "-D" + property).toList());
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        return new Server(process, log, port);
    }

    private static List<String> command() throws IOException {
        String executable = System.getProperty("native.image.path");
        if (executable != null) {
            return new ArrayList<>(List.of(executable));
        }
        Path jar = Path.of("target/quarkus-app/quarkus-run.jar");
        if (!Files.exists(jar)) {
            throw new IOException(jar + " is missing: these tests run after 'package'");
        }
        String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        return new ArrayList<>(List.of(
                java, "-Xmx256m", "-XX:+UseSerialGC", "--enable-native-access=ALL-UNNAMED", "-jar", jar.toString()));
    }

    Server awaitReady() throws IOException, InterruptedException {
        long deadline = System.nanoTime() + START_MAX.toNanos();
        while (System.nanoTime() < deadline && process.isAlive()) {
            if (status("/q/health/ready") == 200) {
                return this;
            }
            Thread.sleep(50);
        }
        throw new IOException("the server does not start: " + Files.readString(log));
    }

    /** Of a GET; 0 where nobody answers. */
    int status(String path) throws InterruptedException {
        try {
            return get(path).statusCode();
        } catch (IOException nobody) {
            return 0;
        }
    }

    HttpResponse<String> get(String path) throws IOException, InterruptedException {
        return HTTP.send(
                HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + path))
                        .timeout(Duration.ofSeconds(10))
                        .build(),
                HttpResponse.BodyHandlers.ofString());
    }

    /** As Kubernetes does it. */
    void terminate() {
        process.destroy();
    }

    /** As nobody should do it. */
    void kill() {
        process.destroyForcibly();
    }

    int awaitExit(Duration max) throws InterruptedException, IOException {
        if (!process.waitFor(max.toMillis(), TimeUnit.MILLISECONDS)) {
            throw new AssertionError("the server has not ended within " + max + ": " + log());
        }
        return process.exitValue();
    }

    /** Memory that the process has now. */
    long residentBytes() throws IOException {
        try (Stream<String> lines = Files.lines(proc("status"))) {
            String line = lines.filter(entry -> entry.startsWith("VmRSS:"))
                    .findFirst()
                    .orElseThrow();
            return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
        }
    }

    /** Files and connections that it has open. */
    int files() throws IOException {
        try (Stream<Path> open = Files.list(proc("fd"))) {
            return (int) open.count();
        }
    }

    private Path proc(String name) {
        return Path.of("/proc", String.valueOf(process.pid()), name);
    }

    String log() throws IOException {
        return Files.readString(log);
    }

    @Override
    public void close() throws InterruptedException {
        if (process.isAlive()) {
            process.destroyForcibly();
            process.waitFor(10, TimeUnit.SECONDS);
        }
    }
}
