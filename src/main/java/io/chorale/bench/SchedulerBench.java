package io.chorale.bench;

import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.memory.PrefixCaching;
import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.policy.PolicySettings;
import io.chorale.core.policy.StepCostModel;
import io.chorale.core.sched.EventBatch;
import io.chorale.core.sched.Scheduler;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.core.sched.StepOutcome;
import io.chorale.core.sched.StepPlan;
import io.chorale.engine.AdapterWeights;
import io.chorale.engine.EngineSpec;
import io.chorale.engine.StagedAdapter;
import io.chorale.engine.sim.FaultPlan;
import io.chorale.engine.sim.SimClock;
import io.chorale.engine.sim.SimulatedEngine;
import io.chorale.engine.sim.SimulatedModel;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.SplittableRandom;

/**
 * How long the scheduler takes for one step of a full server: 256 sequences running, 10,000 requests waiting, 5,000 staged
 * adapters, a pool that is always short. Timed are plan, commit, events and snapshot; the engine takes no time.
 */
final class SchedulerBench {
    private static final int RUNNING = 256;
    private static final int WAITING = 10_000;
    private static final int ADAPTERS = 5_000;
    private static final int ADAPTERS_PER_STEP = 256;
    private static final int VOCAB = 32_000;

    private static final int STEPS = 20_000;

    private final History history;
    private final SplittableRandom random = new SplittableRandom(42);
    private final SimulatedEngine engine;
    private final Scheduler scheduler;
    private final EventBatch events = new EventBatch();
    private long requestIdNext;

    SchedulerBench(History history) {
        this.history = history;
        PoolGeometry geometry = new PoolGeometry(6000, 16, 384, RUNNING);
        SchedulerLimits limits = SchedulerLimits.of(4096, VOCAB, 1024, RUNNING, ADAPTERS_PER_STEP);
        EngineSpec spec =
                SimulatedEngine.spec(geometry.pageCount(), geometry.pageTokens(), VOCAB, 4096, geometry.slotsMax());
        engine = new SimulatedEngine(new SimulatedEngine.Settings(
                spec,
                new SimulatedModel(1, VOCAB, 2, 0.005),
                StepCostModel.Linear.FREE,
                new SimClock.Virtual(),
                FaultPlan.NONE));
        scheduler = new Scheduler(
                geometry,
                limits,
                SchedulerPolicies.of(PolicySettings.CHORALE, StepCostModel.Linear.LARGE_GPU),
                new PrefixCaching(true, 1));
        for (int version = 1; version <= ADAPTERS; version++) {
            long pages = 1L + version % 7;
            StagedAdapter staged = engine.stage(
                    new AdapterWeights("adapter-" + version, pages * spec.pageBytes(), ByteBuffer.allocate(0)));
            scheduler.adapterReady(version, staged.handle(), staged.pages());
        }
        for (int i = 0; i < WAITING + RUNNING; i++) {
            submit();
        }
    }

    /** Popular adapters more often: the square of a uniform draw. */
    private void submit() {
        double drawn = random.nextDouble();
        int[] prompt = random.ints(16 + random.nextInt(200), 0, VOCAB).toArray();
        scheduler.submit(
                new RequestSpec(
                        requestIdNext++,
                        0,
                        AdapterSet.of(1 + (int) (drawn * drawn * ADAPTERS)),
                        prompt,
                        SamplingParams.greedy(32 + random.nextInt(300), 2),
                        0,
                        0,
                        0),
                0);
    }

    void run() throws IOException {
        for (int i = 0; i < STEPS; i++) {
            step();
        }
        double[] micros = new double[STEPS];
        for (int i = 0; i < STEPS; i++) {
            micros[i] = step() / 1e3;
        }
        history.record(
                "scheduler-step",
                "us",
                micros,
                Double.NaN,
                RUNNING + " running, " + WAITING + " waiting, " + ADAPTERS + " adapters, engine of no time");
    }

    private long step() {
        long start = System.nanoTime();
        StepPlan plan = scheduler.plan(start);
        long planned = System.nanoTime();
        engine.begin(plan);
        StepOutcome outcome = engine.await();
        long computed = System.nanoTime();
        scheduler.commit(outcome, computed);
        scheduler.drainEvents(events);
        scheduler.snapshot();
        long nanos = planned - start + System.nanoTime() - computed;
        int ended = 0;
        for (int i = 0; i < events.size(); i++) {
            ended += events.get(i) instanceof SequenceEvent.Finished ? 1 : 0;
        }
        events.clear();
        for (int i = 0; i < ended; i++) {
            submit();
        }
        return nanos;
    }
}
