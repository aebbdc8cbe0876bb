package io.chorale.sim;

import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.memory.PrefixCaching;
import io.chorale.core.model.DropReason;
import io.chorale.core.model.LoadSnapshot;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.policy.EarlyAbortPolicy;
import io.chorale.core.policy.StepCostModel;
import io.chorale.core.sched.EventBatch;
import io.chorale.core.sched.PlanValidator;
import io.chorale.core.sched.Scheduler;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.core.sched.StepPlan;
import io.chorale.engine.AdapterWeights;
import io.chorale.engine.Engine;
import io.chorale.engine.EngineFault;
import io.chorale.engine.EngineSpec;
import io.chorale.engine.StagedAdapter;
import io.chorale.engine.sim.FaultPlan;
import io.chorale.engine.sim.SimClock;
import io.chorale.engine.sim.SimulatedEngine;
import io.chorale.engine.sim.SimulatedModel;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/** A server in virtual time: the scheduler, a simulated engine, the serving loop with either look-ahead, and all checks. */
final class SimServer {
    /** What a server is made of; adapters take one to {@code adapterPagesMax} pages, by version. */
    record Config(
            PoolGeometry geometry,
            SchedulerLimits limits,
            SchedulerPolicies policies,
            SimulatedModel model,
            FaultPlan faults,
            int lookAhead,
            int adapterPagesMax,
            long stageNanos,
            PrefixCaching caching) {

        /** One without a prefix cache. */
        Config(
                PoolGeometry geometry,
                SchedulerLimits limits,
                SchedulerPolicies policies,
                SimulatedModel model,
                FaultPlan faults,
                int lookAhead,
                int adapterPagesMax,
                long stageNanos) {
            this(geometry, limits, policies, model, faults, lookAhead, adapterPagesMax, stageNanos, PrefixCaching.OFF);
        }

        Config withLookAhead(int other) {
            return new Config(geometry, limits, policies, model, faults, other, adapterPagesMax, stageNanos, caching);
        }

        Config withPolicies(SchedulerPolicies other) {
            return new Config(geometry, limits, other, model, faults, lookAhead, adapterPagesMax, stageNanos, caching);
        }

        Config withFaults(FaultPlan other) {
            return new Config(
                    geometry, limits, policies, model, other, lookAhead, adapterPagesMax, stageNanos, caching);
        }

        Config withCaching(PrefixCaching other) {
            return new Config(geometry, limits, policies, model, faults, lookAhead, adapterPagesMax, stageNanos, other);
        }
    }

    final SimClock.Virtual clock = new SimClock.Virtual();
    final Scheduler scheduler;
    final Engine engine;
    final Map<Long, Answer> answers = new LinkedHashMap<>();
    final List<String> trace = new ArrayList<>();
    boolean dead;
    int stepsInFlight;

    private final Config config;
    private final PlanValidator validator;
    private final Map<Integer, StagedAdapter> staged = new LinkedHashMap<>();
    private final Map<Integer, Long> staging = new LinkedHashMap<>();
    private final EventBatch batch = new EventBatch();
    private boolean recordTrace;
    private Consumer<SequenceEvent> listener = event -> {};

    SimServer(Config config) {
        this.config = config;
        scheduler = new Scheduler(config.geometry(), config.limits(), config.policies(), config.caching());
        PoolGeometry g = config.geometry();
        SchedulerLimits l = config.limits();
        EngineSpec spec = new EngineSpec(
                "simulated",
                "test",
                g.pageCount(),
                g.pageTokens(),
                1 << 20,
                8,
                l.vocab(),
                l.contextMax(),
                g.slotsMax(),
                g.scratchMax(),
                l.stepTokensMax(),
                l.sequencesMax(),
                l.samplesMax(),
                1,
                Float.BYTES);
        engine = new SimulatedEngine(new SimulatedEngine.Settings(
                spec, config.model(), StepCostModel.Linear.LARGE_GPU, clock, config.faults()));
        validator = new PlanValidator(g, l);
    }

    static String adapterName(int version) {
        return "adapter-" + version;
    }

    SimServer withListener(Consumer<SequenceEvent> other) {
        listener = other;
        return this;
    }

    SimServer withTrace() {
        recordTrace = true;
        return this;
    }

    // ---- clients --------------------------------------------------------------------------------------------------

    /** A request that is refused: nobody looks for its adapters. Its answer is what the scheduler says at once. */
    Answer submitHopeless(RequestSpec spec) {
        Answer answer = new Answer(spec, config.model(), config.limits().contextMax());
        answers.put(spec.id(), answer);
        scheduler.submit(spec, clock.nanos());
        drain();
        return answer;
    }

    void submit(RequestSpec spec) {
        answers.put(spec.id(), new Answer(spec, config.model(), config.limits().contextMax()));
        for (int version : spec.adapters().versions()) {
            if (!staged.containsKey(version)) {
                staging.putIfAbsent(version, clock.nanos() + config.stageNanos());
            }
        }
        scheduler.submit(spec, clock.nanos());
        drain();
    }

    Answer answer(long requestId) {
        return answers.get(requestId);
    }

    // ---- adapters on the host -------------------------------------------------------------------------------------

    /** Pages of an adapter: by its version, so that they never change. */
    int adapterPages(int version) {
        return 1 + version % config.adapterPagesMax();
    }

    void stage(int version) {
        staging.remove(version);
        try {
            StagedAdapter adapter = engine.stage(new AdapterWeights(
                    adapterName(version), (long) adapterPages(version) << 20, ByteBuffer.allocate(0)));
            staged.put(version, adapter);
            scheduler.adapterReady(version, adapter.handle(), adapter.pages());
        } catch (EngineFault fault) {
            scheduler.adapterFailed(version, DropReason.ADAPTER_FAILED, fault.getMessage());
        }
        drain();
    }

    /** Forgets adapters of the host store, oldest first, until so many are left or all are in use. */
    void shrinkHostStore(int keep) {
        for (Integer version : new ArrayList<>(staged.keySet())) {
            if (staged.size() > keep && scheduler.adapterGone(version)) {
                engine.release(staged.remove(version));
            }
        }
    }

    private void finishStaging() {
        for (Integer version : new ArrayList<>(staging.keySet())) {
            if (staging.get(version) <= clock.nanos()) {
                stage(version);
            }
        }
    }

    // ---- the serving loop -----------------------------------------------------------------------------------------

    /** One turn of the serving loop; false: nothing to do now. */
    boolean turn() {
        finishStaging();
        if (dead) {
            return false;
        }
        try {
            long planned = clock.nanos();
            StepPlan plan = scheduler.plan(planned);
            boolean begun = !plan.isEmpty();
            if (begun) {
                validator.check(plan);
                if (recordTrace) {
                    trace.add(PlanText.of(plan));
                }
                engine.begin(plan);
                stepsInFlight++;
            }
            if (stepsInFlight > config.lookAhead() || (!begun && stepsInFlight > 0)) {
                scheduler.commit(engine.await(), clock.nanos());
                stepsInFlight--;
                begun = true;
            }
            check();
            checkObjectives(planned);
            return begun;
        } catch (EngineFault fault) {
            dead = true;
            scheduler.failAll(DropReason.ENGINE_DEAD, fault.getMessage());
            check();
            return false;
        }
    }

    /** When a turn could have something to do although this one had not; {@code Long.MAX_VALUE}: never. */
    long nextStagingNanos() {
        return staging.values().stream().mapToLong(at -> at).min().orElse(Long.MAX_VALUE);
    }

    /** Runs until nothing is left; somebody still waiting then has been forgotten. */
    void runUntilIdle() {
        while (turn() || nextStagingNanos() < Long.MAX_VALUE) {
            if (stepsInFlight == 0 && nextStagingNanos() < Long.MAX_VALUE) {
                clock.sleepUntil(nextStagingNanos());
            }
        }
        if (!scheduler.isIdle() && !dead) {
            throw new AssertionError("the scheduler has stalled: " + scheduler.snapshot());
        }
    }

    void runUntilAnswered(long requestId) {
        while (answers.get(requestId).end == null) {
            if (!turn()) {
                throw new AssertionError("request " + requestId + " is not answered: " + scheduler.snapshot());
            }
        }
    }

    /** The invariants that hold after every step. */
    private void check() {
        drain();
        scheduler.verify();
        LoadSnapshot s = scheduler.snapshot();
        int pages = s.pagesKv()
                + s.pagesAdapter()
                + s.pagesFree()
                + s.pagesQuarantined()
                + s.prefixes().pagesCached();
        if (pages != s.pagesTotal()) {
            throw new AssertionError("pages are not conserved: " + s);
        }
        if (s.runningSequences() > 2 * config.limits().sequencesMax()) {
            throw new AssertionError("too many sequences run: " + s);
        }
    }

    /** Whoever has an objective that is over has begun or has had an answer, where requests are given up at all. */
    private void checkObjectives(long planned) {
        if (config.policies().earlyAbort() instanceof EarlyAbortPolicy.Never) {
            return;
        }
        for (Answer answer : answers.values()) {
            RequestSpec spec = answer.spec;
            boolean waits = answer.started == null && answer.end == null;
            if (waits && spec.ttftNanosMax() > 0 && planned >= spec.arrivalNanos() + spec.ttftNanosMax()) {
                throw new AssertionError("request " + spec.id() + " waits beyond its objective without an answer");
            }
        }
    }

    private void drain() {
        scheduler.drainEvents(batch);
        for (int i = 0; i < batch.size(); i++) {
            SequenceEvent event = batch.get(i);
            answers.get(event.requestId()).take(event);
            listener.accept(event);
        }
        batch.clear();
    }
}
