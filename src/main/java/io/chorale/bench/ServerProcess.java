package io.chorale.bench;

import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** The packaged service in a process of its own, on a free port, ready to be asked. */
final class ServerProcess implements AutoCloseable {
    private static final String LOG = "bench-server.log";

    final int port;

    /** From the start of the process to the first answer of its readiness probe. */
    final long startNanos;

    private final Process process;

    /** @param properties such as {@code -Dchorale.adapters.dir=...} */
    ServerProcess(List<String> properties) throws IOException, InterruptedException {
        try (ServerSocket free = new ServerSocket(0)) {
            port = free.getLocalPort();
        }
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx1g",
                "-XX:+UseSerialGC",
                "--enable-native-access=ALL-UNNAMED",
                "-Dorg.bytedeco.javacpp.maxBytes=0",
                "-Dorg.bytedeco.javacpp.maxPhysicalBytes=0",
                "-Dchorale.native.dir=" + System.getProperty("chorale.native.dir"),
                "-Dquarkus.http.port=" + port));
        command.addAll(properties);
        command.addAll(List.of("-jar", "target/quarkus-app/quarkus-run.jar"));
        long begun = System.nanoTime();
        process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(Path.of("target", LOG).toFile())
                .start();
        awaitReady();
        startNanos = System.nanoTime() - begun;
    }

    private void awaitReady() throws IOException, InterruptedException {
        for (int tries = 0; tries < 3_000; tries++) {
            if (!process.isAlive()) {
                throw new IOException(
                        "the server ended with status " + process.exitValue() + "; its log is target/" + LOG);
            }
            try {
                HttpURLConnection connection =
                        (HttpURLConnection) URI.create("http://127.0.0.1:" + port + "/q/health/ready")
                                .toURL()
                                .openConnection();
                if (connection.getResponseCode() == 200) {
                    return;
                }
            } catch (IOException e) {
                // Not listening yet.
            }
            Thread.sleep(20);
        }
        throw new IOException("the server was not ready within a minute; its log is target/" + LOG);
    }

    /** Processor time that it has used so far, of all cores: what a crowded machine does not change. */
    Duration cpuTime() {
        return process.info().totalCpuDuration().orElse(Duration.ZERO);
    }

    @Override
    public void close() {
        process.destroy();
        try {
            if (!process.waitFor(20, TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
        } catch (InterruptedException hurry) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }
}
