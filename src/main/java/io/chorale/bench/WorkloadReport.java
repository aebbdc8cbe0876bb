package io.chorale.bench;

import static java.lang.System.out;

import io.chorale.workload.Workload;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import java.util.stream.LongStream;

/**
 * What became of a workload, by S-LoRA's definitions: a request that was refused or broken off missed its objective, and
 * requests per second are counted to the end of the last answer. Percentiles of times are over what was finished, and stand
 * beside how much that is.
 */
final class WorkloadReport {
    private static final double NANOS = 1e9;

    /** Left out at both ends where a steady rate is asked for. */
    private static final double EDGE_SECONDS = 20;

    private final Workload workload;
    private final List<TimedStream> streams;
    private final long start;
    private final double objectiveSeconds;
    private final RunningServer.Metrics before;
    private final RunningServer.Metrics after;

    WorkloadReport(
            Workload workload,
            List<TimedStream> streams,
            long start,
            double objectiveSeconds,
            RunningServer.Metrics before,
            RunningServer.Metrics after) {
        this.workload = workload;
        this.streams = streams;
        this.start = start;
        this.objectiveSeconds = objectiveSeconds;
        this.before = before;
        this.after = after;
    }

    void write(History history) throws IOException {
        int[] finished = IntStream.range(0, streams.size())
                .filter(i -> streams.get(i).whole() && streams.get(i).tokens() > 0)
                .toArray();
        if (finished.length == 0) {
            throw new IOException("no request was finished; the first one: "
                    + (streams.isEmpty() ? "there was none" : streams.getFirst().problem()));
        }
        double[] ttft = Arrays.stream(finished)
                .mapToDouble(i -> firstNanos(i) / NANOS)
                .sorted()
                .toArray();
        double[] gaps = Arrays.stream(finished)
                .mapToObj(i -> streams.get(i).eventNanos())
                .flatMapToDouble(WorkloadReport::gapsMillis)
                .sorted()
                .toArray();
        double seconds =
                Arrays.stream(finished).mapToLong(this::lastNanos).max().orElseThrow() / NANOS;
        double inTime = Arrays.stream(ttft).filter(t -> t < objectiveSeconds).count() / (double) streams.size();
        double satisfaction = Arrays.stream(ttft)
                        .filter(t -> t < objectiveSeconds)
                        .map(t -> 1 - t * t / (objectiveSeconds * objectiveSeconds))
                        .sum()
                / streams.size();
        double perToken = Arrays.stream(finished)
                .mapToDouble(i -> (lastNanos(i) - workload.nanos(i))
                        / 1e6
                        / streams.get(i).tokens())
                .average()
                .orElseThrow();
        double wallSeconds = (after.nanos() - before.nanos()) / NANOS;
        double steps = after.since(before, "chorale_step_seconds_count{phase=\"total\"}");
        double stepSeconds = after.since(before, "chorale_step_seconds_sum{phase=\"total\"}");
        problems();
        out.printf(
                Locale.ROOT, "finished               %d of %d, in %.1f s%n", finished.length, streams.size(), seconds);
        out.printf(
                Locale.ROOT,
                "attainment             %.4f within %.1f s; satisfaction %.4f%n",
                inTime,
                objectiveSeconds,
                satisfaction);
        out.printf(Locale.ROOT, "first token            %s s%n", percentiles(ttft));
        out.printf(Locale.ROOT, "between tokens         %s ms%n", percentiles(gaps));
        out.printf(Locale.ROOT, "a token, whole answer  %.2f ms on average%n", perToken);
        steadyTokensPerSecond(finished)
                .ifPresent(rate -> out.printf(Locale.ROOT, "steady                 %.0f answer tokens/s%n", rate));
        out.printf(
                Locale.ROOT,
                "engine                 %.1f %% of %.1f s in %.0f steps of %.2f ms%n",
                100 * stepSeconds / wallSeconds,
                wallSeconds,
                steps,
                1000 * stepSeconds / Math.max(1, steps));
        out.printf(
                Locale.ROOT,
                "adapters               %.0f loads, %.0f evictions, %.0f preemptions%n",
                after.since(before, "chorale_adapter_loads_total"),
                after.since(before, "chorale_adapter_evictions_total"),
                after.since(before, "chorale_preemptions_total"));
        String settings = workload.name() + ", over HTTP";
        double arriving = streams.size() / workload.lastSeconds();
        history.record("workload-arriving", "requests/s", one(arriving), Double.NaN, settings);
        history.record("workload-finished", "requests/s", one(finished.length / seconds), arriving, settings);
        history.record("workload-attainment", "share", one(inTime), 0.99, settings);
        history.record("workload-ttft-p99", "s", one(at(ttft, 0.99)), objectiveSeconds, settings);
        history.record("workload-itl-p99", "ms", one(at(gaps, 0.99)), Double.NaN, settings);
        history.record("workload-engine-share", "share", one(stepSeconds / wallSeconds), Double.NaN, settings);
    }

    private long firstNanos(int i) {
        return streams.get(i).eventNanos()[0] - start - workload.nanos(i);
    }

    private long lastNanos(int i) {
        long[] events = streams.get(i).eventNanos();
        return events[events.length - 1] - start;
    }

    private static DoubleStream gapsMillis(long[] events) {
        return IntStream.range(1, events.length).mapToDouble(i -> (events[i] - events[i - 1]) / 1e6);
    }

    /** Empty where the workload is too short to have a middle. */
    private OptionalDouble steadyTokensPerSecond(int[] finished) {
        long from = start + (long) (EDGE_SECONDS * NANOS);
        long to = start + (long) ((workload.lastSeconds() - EDGE_SECONDS) * NANOS);
        long tokens = Arrays.stream(finished)
                .mapToObj(i -> streams.get(i).eventNanos())
                .flatMapToLong(LongStream::of)
                .filter(nanos -> nanos >= from && nanos < to)
                .count();
        return to > from ? OptionalDouble.of(tokens * NANOS / (to - from)) : OptionalDouble.empty();
    }

    /** The first of those that are alike stands for them. */
    private void problems() {
        streams.stream()
                .filter(stream -> !stream.whole())
                .collect(Collectors.groupingBy(TimedStream::status, TreeMap::new, Collectors.toList()))
                .forEach((status, alike) -> out.printf(
                        Locale.ROOT,
                        "not finished           %d with status %d: %s%n",
                        alike.size(),
                        status,
                        alike.getFirst().problem()));
    }

    private static String percentiles(double[] sorted) {
        return String.format(
                Locale.ROOT,
                "p50 %.3f, p90 %.3f, p99 %.3f, p99.9 %.3f, max %.3f",
                at(sorted, 0.5),
                at(sorted, 0.9),
                at(sorted, 0.99),
                at(sorted, 0.999),
                at(sorted, 1));
    }

    private static double at(double[] sorted, double share) {
        return sorted.length == 0
                ? Double.NaN
                : sorted[Math.clamp((long) Math.ceil(share * sorted.length) - 1, 0, sorted.length - 1)];
    }

    private static double[] one(double figure) {
        return new double[] {figure};
    }
}
