package io.chorale.sim;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.sun.management.ThreadMXBean;
import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.memory.PrefixCaching;
import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.core.policy.PolicySettings;
import io.chorale.core.policy.PolicySettings.MergeRule;
import io.chorale.core.policy.PolicySettings.Merging;
import io.chorale.core.policy.StepCostModel;
import io.chorale.core.sched.EventBatch;
import io.chorale.core.sched.Scheduler;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.core.sched.StepOutcome;
import io.chorale.core.sched.StepPlan;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * A step in which nobody comes or goes allocates nothing while thousands wait. dLoRA's preset is left out because it holds
 * sequences back: there they grow their arrays at other times.
 */
class SteadyStateTest {
    private static final int RUNNING = 64;
    private static final int WAITING = 2_000;
    private static final int VOCAB = 100;
    private static final int ADAPTERS = 16;

    /** Answers have room for 1,024 tokens from the 513th on: in between no array grows. */
    private static final int STEPS_BEFORE = 600;

    private static final int STEPS = 100;
    private static final int WINDOWS = 4;

    @ParameterizedTest
    @EnumSource(value = PolicySettings.Preset.class, names = "DLORA", mode = EnumSource.Mode.EXCLUDE)
    void aStepAllocatesNothing(PolicySettings.Preset preset) {
        PolicySettings settings = preset.settings();
        if (preset == PolicySettings.Preset.CHORALE) {
            settings = settings.with(Merging.of(MergeRule.COST, true));
        }
        Scheduler scheduler = new Scheduler(
                new PoolGeometry(8_192, 16, 32, 0),
                SchedulerLimits.of(2_048, VOCAB, 512, RUNNING, ADAPTERS),
                SchedulerPolicies.of(settings, StepCostModel.Linear.LARGE_GPU),
                new PrefixCaching(true, 1));
        for (int version = 1; version <= ADAPTERS; version++) {
            scheduler.adapterReady(version, version, 2);
        }
        for (int id = 0; id < RUNNING + WAITING; id++) {
            scheduler.submit(
                    new RequestSpec(
                            id,
                            id % 7,
                            AdapterSet.of(1 + id % ADAPTERS),
                            new int[] {1, 2, 3},
                            SamplingParams.greedy(1_900),
                            0,
                            0,
                            0),
                    0);
        }
        EventBatch events = new EventBatch();
        StepOutcome outcome = new StepOutcome();
        outcome.tokenIds = new int[RUNNING];
        outcome.logProbs = new float[RUNNING];
        outcome.topStart = new int[RUNNING + 1];
        run(scheduler, outcome, events, STEPS_BEFORE, 0);
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long least =
                Long.MAX_VALUE; // what is allocated once, by whatever the virtual machine does, is not of every step
        for (int window = 0; window < WINDOWS; window++) {
            long before = threads.getCurrentThreadAllocatedBytes();
            long drawn = run(scheduler, outcome, events, STEPS, STEPS_BEFORE + window * STEPS);
            least = Math.min(least, threads.getCurrentThreadAllocatedBytes() - before);
            assertEquals((long) RUNNING * STEPS, drawn, "all run all the time");
        }
        assertEquals(0, least, "bytes in " + STEPS + " steps");
    }

    private static long run(Scheduler scheduler, StepOutcome outcome, EventBatch events, int steps, int from) {
        long drawn = 0;
        for (int step = from; step < from + steps; step++) {
            long now = 10_000_000L * step;
            StepPlan plan = scheduler.plan(now);
            outcome.stepId = plan.stepId;
            outcome.sampleCount = plan.sampleCount;
            Arrays.fill(outcome.tokenIds, 5);
            drawn += plan.sampleCount;
            scheduler.commit(outcome, now + 9_000_000);
            scheduler.drainEvents(events);
            events.clear();
        }
        return drawn;
    }
}
