package io.chorale.ops;

import io.chorale.adapter.source.SourceEvents;
import io.chorale.core.model.DropReason;
import io.chorale.core.model.FinishReason;
import io.chorale.core.model.LoadSnapshot;
import io.chorale.core.model.Rejection;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.sched.StepOutcome;
import io.chorale.core.sched.StepPlan;
import io.chorale.engine.Engine;
import io.chorale.serving.Door;
import io.chorale.serving.RequestTimes;
import io.chorale.serving.ServingObserver;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.DistributionSummary;
import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Tags;
import io.micrometer.core.instrument.Timer;
import java.time.Duration;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;

/**
 * Binds every {@link Metric}: distributions are recorded by the serving thread as it goes, levels and totals are read
 * from the published snapshot when somebody asks.
 */
public final class ServingMetrics implements ServingObserver {
    private static final Duration[] LATENCIES =
            millis(5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000);
    private static final Duration[] GAPS = millis(1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000);
    private static final double NANOS_PER_SECOND = 1e9;
    private static final double[] SIZES = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096};

    /** In the order of {@link StepOutcome#phaseNanos}. */
    private static final List<String> PHASES = List.of("moves", "forward", "sampling", "total");

    private final MeterRegistry registry;
    private final Map<FinishReason, Counter> finished = new EnumMap<>(FinishReason.class);
    private final Map<DropReason, Counter> dropped = new EnumMap<>(DropReason.class);
    private final Timer ttft;
    private final Timer ttftExpected;
    private final Timer ttftError;
    private final Counter objectivesMet;
    private final Counter objectivesMissed;
    private final Timer itl;
    private final Timer queue;
    private final Timer prefill;
    private final Timer decode;
    private final Timer total;
    private final Timer stepWait;
    private final Timer gap;
    private final Timer staging;
    private final Counter promptTokens;
    private final AdapterActivity activity = new AdapterActivity();
    private final List<Timer> phases;
    private final DistributionSummary stepTokens;
    private final DistributionSummary stepAdapters;

    public ServingMetrics(MeterRegistry registry) {
        this.registry = registry;
        for (FinishReason reason : FinishReason.values()) {
            finished.put(reason, outcome(reason));
        }
        for (DropReason reason : DropReason.values()) {
            dropped.put(reason, outcome(reason));
        }
        ttft = timer(Metric.TTFT, Tags.empty(), LATENCIES);
        ttftExpected = timer(Metric.TTFT_EXPECTED, Tags.empty(), LATENCIES);
        ttftError = timer(Metric.TTFT_ERROR, Tags.empty(), LATENCIES);
        objectivesMet = counter(Metric.OBJECTIVES, "met");
        objectivesMissed = counter(Metric.OBJECTIVES, "missed");
        itl = timer(Metric.ITL, Tags.empty(), GAPS);
        queue = timer(Metric.QUEUE, Tags.empty(), LATENCIES);
        prefill = timer(Metric.PREFILL, Tags.empty(), LATENCIES);
        decode = timer(Metric.DECODE, Tags.empty(), LATENCIES);
        total = timer(Metric.TOTAL, Tags.empty(), LATENCIES);
        promptTokens = counter(Metric.TOKENS, "prompt");
        stepWait = timer(Metric.STEP_WAIT, Tags.empty(), GAPS);
        gap = timer(Metric.SERVING_LOOP_GAP, Tags.empty(), GAPS);
        staging = timer(Metric.ADAPTER_STAGING, Tags.empty(), LATENCIES);
        phases = PHASES.stream()
                .map(phase -> timer(Metric.STEP, Tags.of(Metric.STEP.label(), phase), GAPS))
                .toList();
        stepTokens = summary(Metric.STEP_TOKENS);
        stepAdapters = summary(Metric.STEP_ADAPTERS);
    }

    /** Binds what is read from the door and its snapshot. */
    public void bind(Door door) {
        gauge(Metric.PLACES, "", door, Door::placesTaken);
        for (Rejection reason : Rejection.values()) {
            total(Metric.REJECTIONS, reason.name().toLowerCase(Locale.ROOT), door, d -> d.refusals(reason));
        }
        ofSnapshot(Metric.WAITING, "", door, LoadSnapshot::waitingRequests);
        ofSnapshot(Metric.RUNNING, "", door, LoadSnapshot::runningSequences);
        gauge(Metric.RUNNING_LIMIT, "", door, Door::runningMax);
        ofSnapshot(Metric.WAITING_TOKENS, "", door, LoadSnapshot::waitingTokens);
        ofSnapshot(Metric.QUEUE_ESTIMATE, "", door, load -> load.queueNanosEstimate() / NANOS_PER_SECOND);
        ofSnapshot(Metric.PAGES, "kv", door, LoadSnapshot::pagesKv);
        ofSnapshot(Metric.PAGES, "adapter", door, LoadSnapshot::pagesAdapter);
        ofSnapshot(Metric.PAGES, "cached", door, load -> load.prefixes().pagesCached());
        ofSnapshot(Metric.PAGES, "quarantined", door, LoadSnapshot::pagesQuarantined);
        ofSnapshot(Metric.PAGES, "free", door, LoadSnapshot::pagesFree);
        ofSnapshot(
                Metric.PREFIX_TOKENS, "queried", door, load -> load.prefixes().tokensQueried());
        ofSnapshot(Metric.PREFIX_TOKENS, "found", door, load -> load.prefixes().tokensFound());
        ofSnapshot(Metric.PREFIX_EVICTIONS, "", door, load -> load.prefixes().pagesEvicted());
        ofSnapshot(Metric.ADAPTERS_RESIDENT, "", door, load -> load.residentAdapters().length);
        ofSnapshot(Metric.TOKENS, "row", door, LoadSnapshot::rows);
        ofSnapshot(Metric.TOKENS, "answer", door, LoadSnapshot::answerTokens);
        ofSnapshot(Metric.STEPS, "", door, LoadSnapshot::steps);
        ofSnapshot(Metric.STEPS_FAILED, "", door, LoadSnapshot::stepsFailed);
        ofSnapshot(Metric.ADAPTER_LOADS, "", door, LoadSnapshot::adapterLoads);
        ofSnapshot(Metric.ADAPTER_EVICTIONS, "", door, LoadSnapshot::evictions);
        ofSnapshot(Metric.PREEMPTIONS, "", door, LoadSnapshot::preemptions);
        ofSnapshot(Metric.STEP_COST_ERROR, "", door, load -> load.scheduling().costError());
        ofSnapshot(Metric.OLDEST_WAIT, "", door, load -> load.scheduling().oldestWaitNanos() / NANOS_PER_SECOND);
        ofSnapshot(Metric.FAIRNESS_GAP, "", door, load -> load.scheduling().serviceGap());
        ofSnapshot(Metric.TENANTS_WAITING, "", door, load -> load.scheduling().tenantsWaiting());
        ofSnapshot(Metric.ADAPTERS_RUNNING, "", door, load -> load.scheduling().adaptersRunning());
        ofSnapshot(Metric.MERGES, "", door, load -> load.scheduling().merges());
        ofSnapshot(Metric.MERGED_STEPS, "", door, load -> load.scheduling().mergedSteps());
        ofSnapshot(Metric.EARLY_ABORTS, "", door, LoadSnapshot::earlyAborts);
    }

    /** Binds what the engine knows of itself. */
    public void bind(Engine engine) {
        Gauge.builder(Metric.ADAPTER_HOST_BYTES.meterName(), engine, Engine::stagedBytes)
                .description(Metric.ADAPTER_HOST_BYTES.sentence())
                .register(registry);
    }

    /** Binds what happens at the places that adapters are fetched from. */
    public void bind(SourceEvents sources) {
        for (SourceEvents.Event event : SourceEvents.Event.values()) {
            FunctionCounter.builder(Metric.SOURCE_CALLS.meterName(), sources, s -> s.of(event))
                    .tag(Metric.SOURCE_CALLS.label(), event.name().toLowerCase(Locale.ROOT))
                    .description(Metric.SOURCE_CALLS.sentence())
                    .register(registry);
        }
        Gauge.builder(Metric.SOURCES_OPEN.meterName(), sources, SourceEvents::openBreakers)
                .description(Metric.SOURCES_OPEN.sentence())
                .register(registry);
    }

    // ---- from the serving thread ----

    @Override
    public void accepted(RequestSpec spec) {
        activity.accepted(spec);
    }

    @Override
    public void started(RequestSpec spec, long queuedNanos) {
        activity.waitsNoMore(spec);
        promptTokens.increment(spec.promptTokens().length);
        queue.record(queuedNanos, TimeUnit.NANOSECONDS);
    }

    @Override
    public void firstToken(long ttftNanos, long expectedNanos) {
        ttft.record(ttftNanos, TimeUnit.NANOSECONDS);
        ttftExpected.record(expectedNanos, TimeUnit.NANOSECONDS);
        ttftError.record(Math.abs(ttftNanos - expectedNanos), TimeUnit.NANOSECONDS);
    }

    @Override
    public void objective(boolean met) {
        (met ? objectivesMet : objectivesMissed).increment();
    }

    @Override
    public void laterToken(long gapNanos) {
        itl.record(gapNanos, TimeUnit.NANOSECONDS);
    }

    @Override
    public void ended(RequestSpec spec, RequestTimes times, SequenceEvent terminal) {
        if (!times.started()) {
            activity.waitsNoMore(spec);
        }
        if (times.answered()) {
            prefill.record(times.prefillNanos(), TimeUnit.NANOSECONDS);
            decode.record(times.decodeNanos(), TimeUnit.NANOSECONDS);
            total.record(times.totalNanos(), TimeUnit.NANOSECONDS);
        }
        switch (terminal) {
            case SequenceEvent.Finished end -> count(finished.get(end.reason()));
            case SequenceEvent.Dropped end -> count(dropped.get(end.reason()));
            case SequenceEvent.Started none -> {}
            case SequenceEvent.Token none -> {}
        }
    }

    @Override
    public void stepBegun(StepPlan plan) {
        stepTokens.record(plan.rowCount);
        stepAdapters.record(plan.segmentCount);
    }

    @Override
    public void stepEnded(StepOutcome outcome, long waitedNanos, long gapNanos) {
        stepWait.record(waitedNanos, TimeUnit.NANOSECONDS);
        if (gapNanos > 0) {
            gap.record(gapNanos, TimeUnit.NANOSECONDS);
        }
        if (!outcome.failed()) {
            for (int i = 0; i < phases.size(); i++) {
                phases.get(i).record(outcome.phaseNanos[i], TimeUnit.NANOSECONDS);
            }
        }
    }

    @Override
    public void adapterStaged(long nanos) {
        staging.record(nanos, TimeUnit.NANOSECONDS);
    }

    // ---- for the same under other names ----

    AdapterActivity activity() {
        return activity;
    }

    double promptTokens() {
        return promptTokens.count();
    }

    /** Requests with a whole answer. */
    Map<String, Double> finishedByReason() {
        Map<String, Double> counts = new HashMap<>();
        finished.forEach((reason, counter) -> counts.put(reason.name().toLowerCase(Locale.ROOT), counter.count()));
        return counts;
    }

    /** A timer without labels. */
    Timer timer(Metric metric) {
        return registry.get(metric.meterName()).timer();
    }

    // ---- binding ----

    private static void count(@Nullable Counter counter) {
        if (counter != null) {
            counter.increment();
        }
    }

    private Counter outcome(Enum<?> reason) {
        return counter(Metric.REQUESTS, reason.name().toLowerCase(Locale.ROOT));
    }

    private Counter counter(Metric metric, String label) {
        return Counter.builder(metric.meterName())
                .tag(metric.label(), label)
                .description(metric.sentence())
                .register(registry);
    }

    private Timer timer(Metric metric, Tags tags, Duration[] buckets) {
        return Timer.builder(metric.meterName())
                .tags(tags)
                .description(metric.sentence())
                .serviceLevelObjectives(buckets)
                .register(registry);
    }

    private DistributionSummary summary(Metric metric) {
        return DistributionSummary.builder(metric.meterName())
                .description(metric.sentence())
                .serviceLevelObjectives(SIZES)
                .register(registry);
    }

    private void ofSnapshot(Metric metric, String label, Door door, ToDoubleFunction<LoadSnapshot> value) {
        if (metric.kind() == Metric.Kind.COUNTER) {
            total(metric, label, door, d -> value.applyAsDouble(d.snapshot()));
        } else {
            gauge(metric, label, door, d -> value.applyAsDouble(d.snapshot()));
        }
    }

    private void gauge(Metric metric, String label, Door door, ToDoubleFunction<Door> value) {
        Gauge.builder(metric.meterName(), door, value)
                .tags(tags(metric, label))
                .description(metric.sentence())
                // Names get the unit that they end with from it.
                .baseUnit(metric.unit().equals("seconds") ? metric.unit() : null)
                .register(registry);
    }

    private void total(Metric metric, String label, Door door, ToDoubleFunction<Door> value) {
        FunctionCounter.builder(metric.meterName(), door, value)
                .tags(tags(metric, label))
                .description(metric.sentence())
                .register(registry);
    }

    private static Tags tags(Metric metric, String label) {
        return label.isEmpty() ? Tags.empty() : Tags.of(metric.label(), label);
    }

    private static Duration[] millis(long... values) {
        Duration[] durations = new Duration[values.length];
        for (int i = 0; i < values.length; i++) {
            durations[i] = Duration.ofMillis(values[i]);
        }
        return durations;
    }
}
