package io.chorale.bench;

import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * The whole way: the packaged service in a process of its own, 64 SSE streams over the base model and its six adapters.
 */
final class HttpBench {
    private static final int STREAMS = 64;
    private static final int TOKENS_PER_STREAM = 400;
    private static final int WARM_UP_RUNS = 3;
    private static final int RUNS = 5;
    private static final List<String> MODELS = List.of("fable", "pirate", "shout", "bullets", "robot", "json", "moral");

    private final History history;

    HttpBench(History history) {
        this.history = history;
    }

    /** @param engineTokensPerSecond what the engine alone reaches in this run; NaN when it was not measured */
    void run(double engineTokensPerSecond) throws IOException, InterruptedException {
        int port;
        try (ServerSocket free = new ServerSocket(0)) {
            port = free.getLocalPort();
        }
        Process server = start(port);
        try {
            awaitReady(port, server);
            SseLoad load = new SseLoad(port);
            List<String> bodies = new ArrayList<>();
            for (int i = 0; i < STREAMS; i++) {
                bodies.add(body(MODELS.get(i % MODELS.size())));
            }
            for (int warmUp = 0; warmUp < WARM_UP_RUNS; warmUp++) {
                load.run("/v1/completions", bodies);
            }
            double[] tokensPerSecond = new double[RUNS];
            double[] firstByteMillis = new double[RUNS];
            for (int run = 0; run < RUNS; run++) {
                SseLoad.Outcome outcome = load.run("/v1/completions", bodies);
                tokensPerSecond[run] = outcome.tokensPerSecond();
                firstByteMillis[run] = outcome.firstByteNanosMedian() / 1e6;
            }
            String settings = "Fable, " + STREAMS + " SSE streams over 7 models, " + TOKENS_PER_STREAM + " tokens each";
            history.record("http-64-streams", "tokens/s", tokensPerSecond, 0.6 * engineTokensPerSecond, settings);
            history.record("http-first-byte", "ms", firstByteMillis, Double.NaN, settings + ", all at once");
        } finally {
            server.destroy();
            if (!server.waitFor(20, TimeUnit.SECONDS)) {
                server.destroyForcibly();
            }
        }
    }

    private static String body(String model) {
        return """
                {"model":"%s","prompt":"Tell me a story about a fox named Kit.","max_tokens":%d,"ignore_eos":true,\
                "temperature":0,"stream":true,"stream_options":{"include_usage":true}}""".formatted(model, TOKENS_PER_STREAM);
    }

    private static Process start(int port) throws IOException {
        return new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Xmx1g",
                        "-XX:+UseSerialGC",
                        "--enable-native-access=ALL-UNNAMED",
                        "-Dorg.bytedeco.javacpp.maxBytes=0",
                        "-Dorg.bytedeco.javacpp.maxPhysicalBytes=0",
                        "-Dchorale.native.dir=" + System.getProperty("chorale.native.dir"),
                        "-Dquarkus.http.port=" + port,
                        "-jar",
                        "target/quarkus-app/quarkus-run.jar")
                .redirectErrorStream(true)
                .redirectOutput(Path.of("target", "bench-server.log").toFile())
                .start();
    }

    private static void awaitReady(int port, Process server) throws IOException, InterruptedException {
        for (int tries = 0; tries < 600; tries++) {
            if (!server.isAlive()) {
                throw new IOException(
                        "the server ended with status " + server.exitValue() + "; its log is target/bench-server.log");
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
            Thread.sleep(100);
        }
        throw new IOException("the server was not ready within a minute; its log is target/bench-server.log");
    }
}
