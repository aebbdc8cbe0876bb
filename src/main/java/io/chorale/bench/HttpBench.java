package io.chorale.bench;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

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
        try (ServerProcess server = new ServerProcess(List.of())) {
            SseLoad load = new SseLoad(server.port);
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
        }
    }

    private static String body(String model) {
        return """
                {"model":"%s","prompt":"Tell me a story about a fox named Kit.","max_tokens":%d,"ignore_eos":true,\
                "temperature":0,"stream":true,"stream_options":{"include_usage":true}}""".formatted(model, TOKENS_PER_STREAM);
    }
}
