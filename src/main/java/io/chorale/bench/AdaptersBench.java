package io.chorale.bench;

import io.chorale.adapter.AdapterMaker;
import io.chorale.adapter.FileRejectedException;
import io.chorale.adapter.ModelFiles;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/**
 * What it costs to have many adapters: the packaged service with ten registered and with ten thousand (rank 4 on q and v),
 * in turns, under the same number of streams whose adapters are drawn from Zipf's law, at most ten adapters a step.
 */
final class AdaptersBench {
    private static final int FEW = 10;
    private static final int MANY = 10_000;
    private static final int RANK = 4;
    private static final int STREAMS = 256;
    private static final int TOKENS_PER_STREAM = 60;
    private static final int WARM_UP_RUNS = 2;
    private static final int RUNS = 5;

    private final History history;

    AdaptersBench(History history) {
        this.history = history;
    }

    void run() throws IOException, InterruptedException, FileRejectedException {
        Path model = Path.of("models/fable/model");
        AdapterMaker maker =
                new AdapterMaker(ModelFiles.open(model).shape(), "fable", RANK, List.of("q_proj", "v_proj"));
        Path few = Path.of("target", "bench-adapters", "few");
        Path many = Path.of("target", "bench-adapters", "many");
        maker.make(few, "adapter", FEW);
        maker.make(many, "adapter", MANY);
        try (ServerProcess tenServer = start(few);
                ServerProcess thousandsServer = start(many)) {
            history.record(
                    "adapters-10000-start",
                    "ms",
                    new double[] {thousandsServer.startNanos / 1e6},
                    5_000,
                    "Fable, the packaged service with 10,000 adapters registered, from its start to ready");
            double[] ten = new double[RUNS];
            double[] thousands = new double[RUNS];
            for (int run = -WARM_UP_RUNS; run < RUNS; run++) {
                double ofTen = tokensPerSecond(tenServer, FEW, run);
                double ofThousands = tokensPerSecond(thousandsServer, MANY, run);
                if (run >= 0) {
                    ten[run] = ofTen;
                    thousands[run] = ofThousands;
                }
            }
            String settings = "Fable, " + STREAMS + " SSE streams of " + TOKENS_PER_STREAM
                    + " tokens, adapters of rank 4 on q and v by Zipf's law, at most 10 a step, registered: ";
            history.record("adapters-10-registered", "tokens/s", ten, Double.NaN, settings + FEW);
            history.record("adapters-10000-registered", "tokens/s", thousands, 0.97 * median(ten), settings + MANY);
        }
    }

    private static ServerProcess start(Path adapters) throws IOException, InterruptedException {
        return new ServerProcess(List.of(
                "-Dchorale.adapters.dir=" + adapters.toAbsolutePath(), "-Dchorale.scheduler.adapters-per-step-max=10"));
    }

    private static double tokensPerSecond(ServerProcess server, int adapters, int run)
            throws IOException, InterruptedException {
        SplittableRandom random = new SplittableRandom(run);
        double[] upTo = new double[adapters];
        double sum = 0;
        for (int i = 0; i < adapters; i++) {
            sum += 1.0 / (i + 1);
            upTo[i] = sum;
        }
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < STREAMS; i++) {
            double drawn = random.nextDouble(sum);
            int adapter = 0;
            while (adapter < adapters - 1 && upTo[adapter] <= drawn) {
                adapter++;
            }
            bodies.add("""
                    {"model":"adapter-%05d","prompt":"Tell me a story about a fox named Kit.","max_tokens":%d,\
                    "ignore_eos":true,"temperature":0,"stream":true,"stream_options":{"include_usage":true}}""".formatted(adapter, TOKENS_PER_STREAM));
        }
        return new SseLoad(server.port).run("/v1/completions", bodies).tokensPerSecond();
    }

    private static double median(double[] figures) {
        double[] sorted = figures.clone();
        java.util.Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }
}
