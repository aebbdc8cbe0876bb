package io.chorale.bench;

import java.io.IOException;
import java.net.URI;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.LongStream;

/**
 * What the service itself costs and delays: 500 streams at once on an engine that computes nothing and takes 20 ms a step,
 * on the JVM and, where it was built, as the executable. The client is on the same machine, and a pause counts as long as
 * the clock says, also where the collector was not running all the time.
 */
final class StreamsBench {
    private static final int STREAMS = 500;
    private static final int TOKENS_PER_STREAM = 400;
    private static final int WARM_UP_RUNS = 1;
    private static final int RUNS = 3;
    private static final List<String> SETTINGS = List.of(
            "-Dchorale.engine.kind=simulated",
            "-Dchorale.engine.simulated.step=20MS",
            "-Dchorale.engine.simulated.stop-probability=0",
            // Its pool holds all streams, which the bundled model's does not.
            "-Dchorale.model.load-format=dummy",
            "-Dchorale.model.dummy.shape=llama-2-7b",
            "-Dchorale.scheduler.sequences-max=512",
            "-Dchorale.scheduler.step-tokens-max=8192");
    private static final double MICROS_PER_EVENT_MAX = 15;
    private static final double PAUSE_MILLIS_MAX = 5;
    private static final double RESIDENT_MB_MAX = 200;

    private final History history;

    StreamsBench(History history) {
        this.history = history;
    }

    void run() throws IOException, InterruptedException {
        if (!ServerProcess.inExecutable()) {
            measure("jvm", ServerProcess.watched(SETTINGS));
        }
        if (ServerProcess.executable().isPresent()) {
            measure("native", ServerProcess.nativeWatched(SETTINGS));
        } else {
            System.err.println("the executable was not built (./chorale build --native): only the JVM is measured");
        }
    }

    private void measure(String how, ServerProcess started) throws IOException, InterruptedException {
        String name = "streams-500-" + how;
        String settings = "Llama-2-7B shape, " + STREAMS + " SSE streams of " + TOKENS_PER_STREAM
                + " tokens at once, simulated engine, 20 ms a step, " + (how.equals("jvm") ? "JVM" : "executable");
        try (ServerProcess server = started) {
            double idle = server.residentBytes() / 1e6;
            double[] microsPerEvent = new double[RUNS];
            double[] gapMillis = new double[RUNS];
            for (int run = -WARM_UP_RUNS; run < RUNS; run++) {
                long before = server.cpuTime().toNanos();
                long[] gaps = play(server.port);
                if (run >= 0) {
                    microsPerEvent[run] =
                            (server.cpuTime().toNanos() - before) / 1e3 / ((double) STREAMS * TOKENS_PER_STREAM);
                    gapMillis[run] = gaps[(int) (0.999 * (gaps.length - 1))] / 1e6;
                }
            }
            history.record(name + "-cpu", "us/event", microsPerEvent, MICROS_PER_EVENT_MAX, settings);
            history.record(name + "-gap-p99.9", "ms", gapMillis, Double.NaN, settings + ", from token to token");
            history.record(name + "-gc-pause", "ms", server.pauseMillis(), PAUSE_MILLIS_MAX, settings);
            history.record(name + "-idle", "MB", new double[] {idle}, Double.NaN, settings + ", before the first");
            double[] resident = {server.residentBytes() / 1e6};
            history.record(name + "-resident", "MB", resident, RESIDENT_MB_MAX, settings + ", after the last");
        }
    }

    /** The gaps between tokens of all streams, in order of length. */
    private static long[] play(int port) throws IOException, InterruptedException {
        URI server = URI.create("http://127.0.0.1:" + port);
        String body = """
                {"model":"llama-2-7b","prompt":[1,2,3,4,5,6,7,8],"max_tokens":%d,"ignore_eos":true,\
                "stream":true,"stream_options":{"include_usage":true}}""".formatted(TOKENS_PER_STREAM);
        List<Callable<TimedStream>> clients =
                Collections.nCopies(STREAMS, () -> TimedStream.post(server, "/v1/completions", body));
        List<long[]> gaps = new ArrayList<>();
        try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            for (Future<TimedStream> ended : threads.invokeAll(clients)) {
                TimedStream stream = ended.get();
                if (!stream.whole()) {
                    throw new IOException("a stream was not whole: " + stream.problem());
                }
                gaps.add(gapsOf(stream.eventNanos()));
            }
        } catch (ExecutionException e) {
            throw new IOException("a stream failed", e.getCause());
        }
        return gaps.stream().flatMapToLong(LongStream::of).sorted().toArray();
    }

    private static long[] gapsOf(long[] times) {
        long[] gaps = new long[Math.max(0, times.length - 1)];
        Arrays.setAll(gaps, i -> times[i + 1] - times[i]);
        return gaps;
    }
}
