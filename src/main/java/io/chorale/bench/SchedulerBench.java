package io.chorale.bench;

import com.sun.management.ThreadMXBean;
import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.memory.PrefixCaching;
import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.policy.LearnedCosts;
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
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.SplittableRandom;

/**
 * How long the scheduler takes for one step of a full server: 256 sequences running, 10,000 requests waiting, 5,000 staged
 * adapters. Twice: with short answers and a pool that is always short, and with long answers and room, so that in most steps
 * nothing arrives or ends.
 */
final class SchedulerBench {
    private static final int RUNNING = 256;
    private static final int WAITING = 10_000;
    private static final int ADAPTERS = 5_000;
    private static final int ADAPTERS_PER_STEP = 256;
    private static final int VOCAB = 32_000;

    private static final int STEPS = 20_000;
    private static final double QUIET_MICROS = 40;
    private static final double BUSY_MICROS = 150;

    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    private final int answerMin;
    private final int answerMore;
    private final SplittableRandom random = new SplittableRandom(42);
    private final SimulatedEngine engine;
    private final Scheduler scheduler;
    private final EventBatch events = new EventBatch();
    private final Samples whole = new Samples();
    private final Samples busy = new Samples();
    private final Samples quiet = new Samples();
    private final Samples quietBytes = new Samples();
    private long requestIdNext;

    // Of the last step.
    private int arrived;
    private boolean quietStep;
    private long plannedNanos;
    private long wholeNanos;
    private long allocatedBytes;

    private SchedulerBench(int poolPages, double stopProbability, int answerMin, int answerMore) {
        this.answerMin = answerMin;
        this.answerMore = answerMore;
        PoolGeometry geometry = new PoolGeometry(poolPages, 16, 384, RUNNING);
        SchedulerLimits limits = SchedulerLimits.of(4096, VOCAB, 1024, RUNNING, ADAPTERS_PER_STEP);
        EngineSpec spec =
                SimulatedEngine.spec(geometry.pageCount(), geometry.pageTokens(), VOCAB, 4096, geometry.slotsMax());
        engine = new SimulatedEngine(new SimulatedEngine.Settings(
                spec,
                new SimulatedModel(1, VOCAB, 2, stopProbability),
                StepCostModel.Linear.FREE,
                new SimClock.Virtual(),
                FaultPlan.NONE));
        scheduler = new Scheduler(
                geometry,
                limits,
                SchedulerPolicies.of(PolicySettings.CHORALE, new LearnedCosts(StepCostModel.Linear.LARGE_GPU)),
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
                        SamplingParams.greedy(answerMin + random.nextInt(answerMore), 2),
                        0,
                        0,
                        0),
                0);
    }

    static void run(History history) throws IOException {
        String settings = RUNNING + " running, " + WAITING + " waiting, " + ADAPTERS + " adapters";
        SchedulerBench crowded = new SchedulerBench(6_000, 0.005, 32, 300);
        crowded.play();
        history.record(
                "scheduler-step",
                "us",
                crowded.whole.figures(),
                Double.NaN,
                settings + ", engine of no time; plan, commit, events and snapshot");
        history.record(
                "scheduler-busy", "us", crowded.busy.figures(), BUSY_MICROS, settings + "; plan and commit, much ends");
        SchedulerBench roomy = new SchedulerBench(24_000, 0, 500, 524);
        roomy.play();
        history.record(
                "scheduler-quiet",
                "us",
                roomy.quiet.figures(),
                QUIET_MICROS,
                settings + "; plan and commit, nothing arrives or ends");
        history.record(
                "scheduler-quiet-bytes",
                "B",
                roomy.quietBytes.figures(),
                0,
                settings + "; allocated by plan and commit, nothing arrives or ends");
    }

    private void play() {
        for (int i = -STEPS; i < STEPS; i++) {
            step();
            if (i >= 0) {
                whole.add(wholeNanos / 1e3);
                (quietStep ? quiet : busy).add(plannedNanos / 1e3);
                if (quietStep) {
                    quietBytes.add((double) allocatedBytes);
                }
            }
        }
    }

    /** One step, with what it took: where requests have ended others arrive before the next. */
    private void step() {
        boolean arrivals = arrived > 0;
        arrived = 0;
        long allocatedBefore = THREADS.getCurrentThreadAllocatedBytes();
        long start = System.nanoTime();
        StepPlan plan = scheduler.plan(start);
        long planned = System.nanoTime();
        long allocatedByPlan = THREADS.getCurrentThreadAllocatedBytes() - allocatedBefore;
        engine.begin(plan);
        StepOutcome outcome = engine.await();
        allocatedBefore = THREADS.getCurrentThreadAllocatedBytes();
        long computed = System.nanoTime();
        scheduler.commit(outcome, computed);
        long committed = System.nanoTime();
        allocatedBytes = allocatedByPlan + THREADS.getCurrentThreadAllocatedBytes() - allocatedBefore;
        long drained = System.nanoTime();
        scheduler.drainEvents(events);
        scheduler.snapshot();
        plannedNanos = planned - start + committed - computed;
        wholeNanos = plannedNanos + System.nanoTime() - drained;
        for (int i = 0; i < events.size(); i++) {
            arrived += events.get(i) instanceof SequenceEvent.Finished ? 1 : 0;
        }
        events.clear();
        for (int i = 0; i < arrived; i++) {
            submit();
        }
        quietStep = !arrivals && arrived == 0;
    }

    /** Figures in the order in which they come. */
    private static final class Samples {
        private double[] values = new double[STEPS];
        private int count;

        void add(double value) {
            values[count++] = value;
        }

        double[] figures() {
            return Arrays.copyOf(values, count);
        }
    }
}
