package io.chorale.bench;

import io.chorale.platform.NativeExecutable;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** The packaged service in a process of its own, on a free port, ready to be asked. */
final class ServerProcess implements AutoCloseable {
    private static final String LOG = "bench-server.log";
    /** As HotSpot and native executables tell of a collection. */
    private static final Pattern PAUSE = Pattern.compile("GC\\(\\d+\\) Pause .* ([0-9.]+)ms$");

    final int port;

    /** From the start of the process to the first answer of its readiness probe. */
    final long startNanos;

    private final Process process;

    /**
     * On the JVM.
     *
     * @param properties such as {@code -Dchorale.adapters.dir=...}
     */
    ServerProcess(List<String> properties) throws IOException, InterruptedException {
        this(java(List.of()), properties, List.of("-jar", "target/quarkus-app/quarkus-run.jar"));
    }

    private ServerProcess(List<String> program, List<String> properties, List<String> last)
            throws IOException, InterruptedException {
        try (ServerSocket free = new ServerSocket(0)) {
            port = free.getLocalPort();
        }
        List<String> command = new ArrayList<>(program);
        command.add("-Dquarkus.http.port=" + port);
        command.addAll(properties);
        command.addAll(last);
        Files.createDirectories(Path.of("target"));
        long begun = System.nanoTime();
        process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(Path.of("target", LOG).toFile())
                .start();
        try {
            awaitReady();
        } catch (IOException | InterruptedException notReady) {
            process.destroyForcibly();
            throw notReady;
        }
        startNanos = System.nanoTime() - begun;
    }

    /** On the JVM, whose collector tells of its pauses. */
    static ServerProcess watched(List<String> properties) throws IOException, InterruptedException {
        return new ServerProcess(
                java(List.of("-Xlog:gc")), properties, List.of("-jar", "target/quarkus-app/quarkus-run.jar"));
    }

    /** The executable, whose collector does. */
    static ServerProcess nativeWatched(List<String> properties) throws IOException, InterruptedException {
        List<String> program =
                new ArrayList<>(List.of(executable().orElseThrow().toString(), "-XX:+PrintGC"));
        if (!inExecutable()) {
            program.add("-Dchorale.native.dir=" + System.getProperty("chorale.native.dir"));
        }
        return new ServerProcess(program, properties, List.of());
    }

    private static List<String> java(List<String> more) {
        List<String> program = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx1g",
                "-XX:+UseSerialGC",
                "--enable-native-access=ALL-UNNAMED",
                "-Dorg.bytedeco.javacpp.maxBytes=0",
                "-Dorg.bytedeco.javacpp.maxPhysicalBytes=0",
                "-Dchorale.native.dir=" + System.getProperty("chorale.native.dir")));
        program.addAll(more);
        return program;
    }

    /** Whether this program is the executable itself, which then needs no Java to measure. */
    static boolean inExecutable() {
        return NativeExecutable.isThis();
    }

    /** The executable: this program, or what ./chorale build --native has made. */
    static Optional<Path> executable() throws IOException {
        if (inExecutable()) {
            return Optional.of(Path.of("/proc/self/exe").toRealPath());
        }
        try (Stream<Path> built = Files.list(Path.of("target"))) {
            return built.filter(file -> file.getFileName().toString().matches("chorale-.*-runner"))
                    .findFirst()
                    .map(Path::toAbsolutePath);
        }
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

    /** Memory that it has now. */
    long residentBytes() throws IOException {
        try (Stream<String> lines = Files.lines(Path.of("/proc", String.valueOf(process.pid()), "status"))) {
            String line = lines.filter(entry -> entry.startsWith("VmRSS:"))
                    .findFirst()
                    .orElseThrow();
            return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
        }
    }

    /** How long each collection of a server that is {@code watched} stopped it, in milliseconds. */
    double[] pauseMillis() throws IOException {
        try (Stream<String> lines = Files.lines(Path.of("target", LOG))) {
            double[] pauses = lines.map(PAUSE::matcher)
                    .filter(Matcher::find)
                    .mapToDouble(pause -> Double.parseDouble(pause.group(1)))
                    .toArray();
            if (pauses.length == 0) {
                throw new IOException("the log tells of no collection: target/" + LOG);
            }
            return pauses;
        }
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
