package io.chorale.process;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledIfSystemProperty;

/** What {@code ./chorale prepare} makes is a cache that this JVM takes for this jar, and one is kept. */
@DisabledIfSystemProperty(
        named = "native.image.path",
        matches = ".+",
        disabledReason = "the executable has its start behind it")
class PrepareIT {
    private static final Path TARGET = Path.of("target");

    /** What was just packaged is what the command would build. */
    @BeforeAll
    static void packaged() throws IOException {
        for (Path old : caches()) {
            Files.delete(old);
        }
        Path stamp = TARGET.resolve("serve.stamp");
        if (!Files.exists(stamp)) {
            Files.createFile(stamp);
        }
        Files.setLastModifiedTime(stamp, FileTime.from(Instant.now()));
    }

    @Test
    void shouldMakeTheOneCacheThatFits() throws Exception {
        Files.write(TARGET.resolve("start-0123456789abcdef.aot"), new byte[] {1});
        assertEquals(0, run("prepare.log", "./chorale", "prepare"), () -> "see target/process-tests/prepare.log");
        List<Path> caches = caches();
        assertEquals(1, caches.size(), caches::toString);
        String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        // With AOTMode=on a cache that does not fit ends the JVM, which otherwise would go on without it.
        int status = run(
                "prepared.log",
                java,
                "-XX:AOTMode=on",
                "-XX:AOTCache=" + caches.getFirst(),
                "-Xmx1g",
                "-XX:+UseSerialGC",
                "--enable-native-access=ALL-UNNAMED",
                "-Dchorale.engine.kind=of course",
                "-jar",
                "target/quarkus-app/quarkus-run.jar");
        String log = Files.readString(TARGET.resolve("process-tests/prepared.log"));
        assertTrue(log.contains("chorale.engine.kind"), "it came as far as its settings: " + log);
        assertEquals(1, status, log);
    }

    private static List<Path> caches() throws IOException {
        try (Stream<Path> files = Files.list(TARGET)) {
            return files.filter(file -> file.toString().endsWith(".aot")).toList();
        }
    }

    private static int run(String log, String... command) throws IOException, InterruptedException {
        Path output = TARGET.resolve("process-tests").resolve(log);
        Files.createDirectories(output.getParent());
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
        if (!process.waitFor(5, TimeUnit.MINUTES)) {
            process.destroyForcibly();
            throw new AssertionError(String.join(" ", command) + " has not ended: " + Files.readString(output));
        }
        return process.exitValue();
    }
}
