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
 * in turns. Ten streams at a time, whose adapters are drawn from Zipf's law: at most ten adapters a step in either, and as
 * many rows. Nearly half of those that are asked for among ten thousand were never asked for before.
 */
final class AdaptersBench {
    private static final int FEW = 10;
    private static final int MANY = 10_000;
    private static final int RANK = 4;
    private static final int STREAMS = 250;
    private static final int STREAMS_AT_ONCE = 10;
    private static final int TOKENS_PER_STREAM = 100;
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
            List<Contender> contenders = List.of(
                    new Contender("adapters-10-registered", tenServer, FEW, "10"),
                    new Contender("adapters-10-of-10000", thousandsServer, FEW, "10,000, asked for: 10"),
                    new Contender("adapters-10000-registered", thousandsServer, MANY, "10,000"));
            for (int run = -WARM_UP_RUNS; run < RUNS; run++) {
                for (Contender contender : contenders) {
                    contender.run(run);
                }
            }
            double ten = median(contenders.getFirst().tokensPerSecond);
            for (Contender contender : contenders) {
                contender.record(history, ten);
            }
        }
    }

    /** A server, and how many of its adapters are asked for. */
    private static final class Contender {
        final String name;
        final ServerProcess server;
        final int adapters;
        final String registered;
        final double[] tokensPerSecond = new double[RUNS];
        final double[] cpuMicrosPerToken = new double[RUNS];

        Contender(String name, ServerProcess server, int adapters, String registered) {
            this.name = name;
            this.server = server;
            this.adapters = adapters;
            this.registered = registered;
        }

        /** @param run from 0; those before warm the server up */
        void run(int run) throws IOException, InterruptedException {
            List<String> bodies = bodies(adapters, run);
            long before = server.cpuTime().toNanos();
            SseLoad.Outcome outcome = new SseLoad(server.port).run("/v1/completions", bodies, STREAMS_AT_ONCE);
            if (run >= 0) {
                tokensPerSecond[run] = outcome.tokensPerSecond();
                cpuMicrosPerToken[run] = (server.cpuTime().toNanos() - before) / 1e3 / outcome.tokens();
            }
        }

        void record(History history, double ofTen) throws IOException {
            String settings = "Fable, " + STREAMS + " SSE streams of " + TOKENS_PER_STREAM
                    + " tokens, " + STREAMS_AT_ONCE
                    + " at a time, adapters of rank 4 on q and v by Zipf's law, registered: " + registered;
            history.record(name, "tokens/s", tokensPerSecond, 0.97 * ofTen, settings);
            history.record(name + "-cpu", "us/token", cpuMicrosPerToken, Double.NaN, settings);
        }
    }

    private static ServerProcess start(Path adapters) throws IOException, InterruptedException {
        return new ServerProcess(List.of(
                "-Dchorale.adapters.dir=" + adapters.toAbsolutePath(), "-Dchorale.scheduler.adapters-per-step-max=10"));
    }

    private static List<String> bodies(int adapters, int run) {
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
        return bodies;
    }

    private static double median(double[] figures) {
        double[] sorted = figures.clone();
        java.util.Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }
}
