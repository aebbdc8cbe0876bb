package io.chorale.bench;

import io.chorale.adapter.AdapterMaker;
import io.chorale.adapter.FileRejectedException;
import io.chorale.adapter.ModelFiles;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * What it costs the first token that most adapters are not in the pool when they are asked for: the packaged service with a
 * pool that holds a quarter of the adapters in use when it holds nothing else, and with one that holds all of them and the
 * KV cache beside, in turns, with the same requests: Poisson arrivals, adapters all alike.
 */
final class ColdAdaptersBench {
    private static final int POOL_ADAPTERS = 16;
    private static final int LIVE_ADAPTERS = 4 * POOL_ADAPTERS;
    private static final int RANK = 16;
    private static final List<String> TARGETS =
            List.of("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj");
    private static final int REQUESTS = 600;
    private static final double REQUESTS_PER_SECOND = 40;
    private static final int TOKENS_PER_REQUEST = 32;
    private static final int RUNS = 5;
    private static final double RATIO_MAX = 1.5;
    private static final double[] QUANTILES = {0.5, 0.9, 0.99};
    private static final long PROBED_POOL_BYTES = 64L << 20;
    private static final String LOADS = "chorale_adapter_loads_total";

    private final History history;

    ColdAdaptersBench(History history) {
        this.history = history;
    }

    void run() throws IOException, InterruptedException, FileRejectedException {
        ModelFiles model = ModelFiles.open(Path.of("models/fable/model"));
        Path adapters = Path.of("target", "bench-adapters", "live");
        new AdapterMaker(model.shape(), "fable", RANK, TARGETS).make(adapters, "adapter", LIVE_ADAPTERS);
        long bytes = adapterBytes(adapters);
        try (ServerProcess roomy = start(adapters, 5 * POOL_ADAPTERS * bytes);
                ServerProcess tight = start(adapters, POOL_ADAPTERS * bytes)) {
            compare(new Contender(roomy), new Contender(tight));
        }
    }

    /** What one of the adapters takes of the pool. */
    private static long adapterBytes(Path adapters) throws IOException, InterruptedException {
        try (ServerProcess server = start(adapters, PROBED_POOL_BYTES)) {
            firstToken(server, 0);
            RunningServer.Metrics metrics = new RunningServer(address(server)).metrics();
            double pages = 0;
            for (String use : List.of("kv", "adapter", "cached", "quarantined", "free")) {
                pages += metrics.value("chorale_pages{use=\"" + use + "\"}");
            }
            return (long) (metrics.value("chorale_pages{use=\"adapter\"}") * PROBED_POOL_BYTES / pages);
        }
    }

    private void compare(Contender warm, Contender cold) throws IOException, InterruptedException {
        // The first run reads all adapters into host memory and lets the compiler look.
        for (int run = -1; run < RUNS; run++) {
            warm.run(run);
            cold.run(run);
        }
        if (warm.loadsPerRequest() > 1.0 / 3 || cold.loadsPerRequest() < 1.0 / 2) {
            throw new IOException("this measures something else: " + warm.loadsPerRequest() + " and "
                    + cold.loadsPerRequest() + " loads a request");
        }
        String settings = "Fable, " + LIVE_ADAPTERS + " adapters of rank " + RANK + " on all linears, "
                + Math.round(REQUESTS_PER_SECOND) + " requests/s of " + TOKENS_PER_REQUEST
                + " tokens over SSE, the pool holds ";
        for (int q = 0; q < QUANTILES.length; q++) {
            String name = "adapters-first-token-p" + Math.round(100 * QUANTILES[q]);
            double[] ratios = new double[RUNS];
            for (int run = 0; run < RUNS; run++) {
                ratios[run] = cold.millis[q][run] / warm.millis[q][run];
            }
            history.record(name + "-warm", "ms", warm.millis[q], Double.NaN, settings + "all of them");
            history.record(
                    name + "-cold", "ms", cold.millis[q], Double.NaN, settings + "a quarter of them and nothing else");
            history.record(name + "-ratio", "cold/warm", ratios, RATIO_MAX, settings + "a quarter, or all");
        }
    }

    private static URI address(ServerProcess server) {
        return URI.create("http://127.0.0.1:" + server.port);
    }

    private static ServerProcess start(Path adapters, long poolBytes) throws IOException, InterruptedException {
        return new ServerProcess(List.of(
                "-Dchorale.adapters.dir=" + adapters.toAbsolutePath(), "-Dchorale.engine.pool-bytes=" + poolBytes));
    }

    /** A server, and how long its first tokens took. */
    private static final class Contender {
        final ServerProcess server;
        final double[][] millis = new double[QUANTILES.length][RUNS];
        private double loads;

        Contender(ServerProcess server) {
            this.server = server;
        }

        /** @param run from 0; those before warm the server up */
        void run(int run) throws IOException, InterruptedException {
            RunningServer running = new RunningServer(address(server));
            RunningServer.Metrics before = running.metrics();
            double[] waits = play(run);
            if (run >= 0) {
                loads += running.metrics().since(before, LOADS);
                Arrays.sort(waits);
                for (int q = 0; q < QUANTILES.length; q++) {
                    millis[q][run] = waits[(int) (QUANTILES[q] * (waits.length - 1))];
                }
            }
        }

        double loadsPerRequest() {
            return loads / (RUNS * REQUESTS);
        }

        /** Plays the run's requests, the same for every contender. @return milliseconds to the first token of each */
        private double[] play(int run) throws IOException, InterruptedException {
            SplittableRandom random = new SplittableRandom(run);
            List<Future<Double>> answers = new ArrayList<>();
            double[] waits = new double[REQUESTS];
            try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
                long due = System.nanoTime();
                for (int i = 0; i < REQUESTS; i++) {
                    // Each adapter once, so that all have been read; then as it comes.
                    int adapter = run < 0 && i < LIVE_ADAPTERS ? i : random.nextInt(LIVE_ADAPTERS);
                    due += (long) (-Math.log(1 - random.nextDouble()) / REQUESTS_PER_SECOND * 1e9);
                    Thread.sleep(Duration.ofNanos(Math.max(0, due - System.nanoTime())));
                    answers.add(threads.submit(() -> firstToken(server, adapter)));
                }
                for (int i = 0; i < REQUESTS; i++) {
                    waits[i] = answers.get(i).get();
                }
            } catch (ExecutionException failed) {
                throw new IOException("a request failed", failed.getCause());
            }
            return waits;
        }
    }

    /** Milliseconds to it. */
    private static double firstToken(ServerProcess server, int adapter) throws IOException {
        String body = """
                {"model":"adapter-%05d","prompt":"Tell me a story about a fox named Kit.","max_tokens":%d,\
                "ignore_eos":true,"temperature":0,"stream":true,"stream_options":{"include_usage":true}}""".formatted(adapter, TOKENS_PER_REQUEST);
        long sent = System.nanoTime();
        TimedStream stream = TimedStream.post(address(server), "/v1/completions", body);
        if (!stream.whole()) {
            throw new IOException("an answer is not whole: " + stream.problem());
        }
        return (stream.eventNanos()[0] - sent) / 1e6;
    }
}
