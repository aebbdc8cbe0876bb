package io.chorale.bench;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Iterator;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.stream.DoubleStream;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;
import org.openjdk.jmh.profile.GCProfiler;
import org.openjdk.jmh.results.BenchmarkResult;
import org.openjdk.jmh.results.IterationResult;
import org.openjdk.jmh.results.Result;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.OptionsBuilder;

/**
 * How long a step of a full server's scheduler takes, and how many bytes it allocates: plan, commit, and giving out the events.
 * Run by {@code ./chorale bench scheduler}, by JMH with its GC profiler.
 */
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(value = 2, jvmArgs = "-Xmx2g")
@BenchmarkMode(Mode.SampleTime)
@Warmup(iterations = 4, time = 1)
@Measurement(iterations = 4, time = 1)
public class SchedulerBenchmark {
    private static final String ALLOCATED = "gc.alloc.rate.norm";
    private static final double QUIET_MICROS = 40;
    private static final double BUSY_MICROS = 150;

    // ---- nothing arrives or ends ----------------------------------------------------------------------------------

    private static final int QUIET_STEPS = 850;

    /**
     * A server of which one generation of requests has passed, so that every array has the length that it keeps. The next has
     * begun, and ends after so many steps more.
     */
    private static FullScheduler quietServer() {
        FullScheduler server = new FullScheduler(24_000, 1_000, 1_024);
        for (int step = 0; step < 1_110; step++) {
            server.step();
            server.refill();
        }
        return server;
    }

    @State(Scope.Thread)
    public static class Quiet {
        private FullScheduler server = quietServer();
        private int steps;

        @Setup(Level.Invocation)
        public void renew() {
            if (steps++ == QUIET_STEPS) {
                server.verifyFull();
                server = quietServer();
                steps = 1;
            }
        }
    }

    @Benchmark
    public void quiet(Quiet state) {
        state.server.step();
    }

    private static final int SERVERS = 3;
    private static final int ALLOCATION_RUNS = 6;

    /** Servers for each iteration, made before the first: the profiler counts what the preparation of an iteration allocates. */
    @State(Scope.Thread)
    public static class Prepared {
        private final FullScheduler[] servers = new FullScheduler[(2 + ALLOCATION_RUNS) * SERVERS];
        private int used;

        @Setup(Level.Trial)
        public void make() {
            Arrays.setAll(servers, i -> quietServer());
        }

        @TearDown(Level.Trial)
        public void verify() {
            for (FullScheduler server : servers) {
                server.verifyFull();
            }
        }
    }

    /** For its bytes alone. */
    @Benchmark
    @BenchmarkMode(Mode.SingleShotTime)
    @Warmup(iterations = 2)
    @Measurement(iterations = ALLOCATION_RUNS)
    @OperationsPerInvocation(QUIET_STEPS * SERVERS)
    public void quietAllocation(Prepared state) {
        for (int i = 0; i < SERVERS; i++) {
            FullScheduler server = state.servers[state.used++];
            for (int step = 0; step < QUIET_STEPS; step++) {
                server.step();
            }
        }
    }

    // ---- much arrives and ends ------------------------------------------------------------------------------------

    /** Short answers and a pool that is always short: in nearly every step requests end, others come, and adapters with them. */
    @State(Scope.Thread)
    public static class Busy {
        private static final int PAGES = 6_000;
        private static final int ANSWER_MIN = 16;
        private static final int ANSWER_END = 128;

        private final FullScheduler server = new FullScheduler(PAGES, ANSWER_MIN, ANSWER_END);
    }

    @Benchmark
    public void busy(Busy state) {
        state.server.step();
        state.server.refill();
    }

    // ---- the record -----------------------------------------------------------------------------------------------

    /** @param arguments the file that the figures are appended to */
    public static void main(String[] arguments) throws RunnerException, IOException {
        History history = new History(Path.of(arguments[0]), "./chorale bench scheduler");
        String full = FullScheduler.RUNNING + " running, " + FullScheduler.WAITING + " waiting, "
                + FullScheduler.ADAPTERS + " adapters; plan, commit and events, ";
        String quiet = full + "nothing arrives or ends";
        String busy = full + "much ends, as much arrives, arrivals included";
        for (RunResult run : new Runner(new OptionsBuilder()
                        .include(SchedulerBenchmark.class.getName())
                        .addProfiler(GCProfiler.class)
                        .build())
                .run()) {
            String method = run.getPrimaryResult().getLabel();
            switch (method) {
                case "quiet" -> history.record("scheduler-quiet", "us", times(run), QUIET_MICROS, quiet);
                case "quietAllocation" -> history.record("scheduler-quiet-bytes", "B", bytes(run), 0, quiet);
                case "busy" -> {
                    history.record("scheduler-busy", "us", times(run), BUSY_MICROS, busy);
                    history.record("scheduler-busy-bytes", "B", bytes(run), Double.NaN, busy);
                }
                default -> throw new IllegalStateException("no such benchmark: " + method);
            }
        }
    }

    /** Of every step that was timed. */
    private static double[] times(RunResult run) {
        DoubleStream.Builder times = DoubleStream.builder();
        Iterator<Map.Entry<Double, Long>> raw =
                run.getPrimaryResult().getStatistics().getRawData();
        while (raw.hasNext()) {
            Map.Entry<Double, Long> time = raw.next();
            for (long i = 0; i < time.getValue(); i++) {
                times.add(time.getKey());
            }
        }
        return times.build().toArray();
    }

    /** Allocated by a step, in each iteration. */
    private static double[] bytes(RunResult run) {
        DoubleStream.Builder bytes = DoubleStream.builder();
        for (BenchmarkResult fork : run.getBenchmarkResults()) {
            for (IterationResult iteration : fork.getIterationResults()) {
                Result<?> allocated = iteration.getSecondaryResults().get(ALLOCATED);
                bytes.add(Objects.requireNonNull(allocated, ALLOCATED).getScore());
            }
        }
        return bytes.build().toArray();
    }
}
