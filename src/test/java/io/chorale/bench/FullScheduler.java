package io.chorale.bench;

import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.memory.PrefixCaching;
import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.Check;
import io.chorale.core.model.LoadSnapshot;
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
import java.util.SplittableRandom;

/**
 * The scheduler of a full server, 256 sequences running and 10,000 requests waiting for 5,000 adapters, on a device that takes no
 * time: whatever is planned has been computed at once. Where requests end, as many others come.
 */
final class FullScheduler {
    static final int RUNNING = 256;
    static final int WAITING = 10_000;
    static final int ADAPTERS = 5_000;

    private static final int ADAPTERS_PER_STEP = 256;
    private static final int PAGE_TOKENS = 16;
    private static final int VOCAB = 32_000;
    private static final int PROMPT_MAX = 216;
    private static final long STEP_NANOS = 10_000_000;

    private final int answerMin;
    private final int answerEnd;
    private final SplittableRandom random = new SplittableRandom(42);
    private final Scheduler scheduler;
    private final EventBatch events = new EventBatch();
    private final StepOutcome outcome = new StepOutcome();
    private long now;
    private long requestIdNext;

    /** @param answerEnd one more than the tokens of the longest answer */
    FullScheduler(int pages, int answerMin, int answerEnd) {
        this.answerMin = answerMin;
        this.answerEnd = answerEnd;
        scheduler = new Scheduler(
                new PoolGeometry(pages, PAGE_TOKENS, 384, RUNNING),
                SchedulerLimits.of(PROMPT_MAX + answerEnd, VOCAB, 1024, RUNNING, ADAPTERS_PER_STEP),
                SchedulerPolicies.of(PolicySettings.CHORALE, new LearnedCosts(StepCostModel.Linear.LARGE_GPU)),
                new PrefixCaching(true, 1));
        outcome.tokenIds = new int[RUNNING];
        outcome.logProbs = new float[RUNNING];
        outcome.topStart = new int[RUNNING + 1];
        for (int version = 1; version <= ADAPTERS; version++) {
            scheduler.adapterReady(version, version, 1 + version % 7);
        }
        for (int i = 0; i < WAITING + RUNNING; i++) {
            submit();
        }
    }

    /** Popular adapters more often: the square of a uniform draw. */
    private void submit() {
        double drawn = random.nextDouble();
        int[] prompt =
                random.ints(16 + random.nextInt(PROMPT_MAX - 16), 0, VOCAB).toArray();
        scheduler.submit(
                new RequestSpec(
                        requestIdNext++,
                        0,
                        AdapterSet.of(1 + (int) (drawn * drawn * ADAPTERS)),
                        prompt,
                        SamplingParams.greedy(random.nextInt(answerMin, answerEnd)),
                        0,
                        0,
                        0),
                now);
    }

    /** One step: plan, commit, and what came of it. */
    void step() {
        StepPlan plan = scheduler.plan(now);
        outcome.stepId = plan.stepId;
        outcome.sampleCount = plan.sampleCount;
        now += STEP_NANOS;
        scheduler.commit(outcome, now);
        events.clear();
        scheduler.drainEvents(events);
    }

    /** As many requests come as have ended in the last step. */
    void refill() {
        int ended = 0;
        for (int i = 0; i < events.size(); i++) {
            ended += events.get(i) instanceof SequenceEvent.Finished ? 1 : 0;
        }
        for (int i = 0; i < ended; i++) {
            submit();
        }
    }

    /** That it is as full as it is said to be: nobody has ended, since nobody came. */
    void verifyFull() {
        LoadSnapshot load = scheduler.snapshot();
        Check.state(
                load.runningSequences() == RUNNING && load.waitingRequests() == WAITING,
                () -> load.runningSequences() + " run, " + load.waitingRequests() + " wait");
    }
}
