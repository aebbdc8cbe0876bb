package io.chorale.sim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.policy.PolicySettings;
import io.chorale.core.policy.PolicySettings.Batching;
import io.chorale.core.policy.StepCostModel;
import io.chorale.core.sched.EventBatch;
import io.chorale.core.sched.Scheduler;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.core.sched.StepOutcome;
import io.chorale.core.sched.StepPlan;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * S-LoRA's early-abort queue: the scheduler with its order, its estimate and its waiting between admissions against a literal
 * transcription of slora/server/router/abort_req_queue.py and of the loop in manager.py, step by step, over random arrivals. What
 * fits is a number of places. The scheduler gives requests up at once, the original when it next tries to admit some.
 */
class AbortQueueTest {
    private static final int PLACES = 6;
    private static final long STEP_NANOS = 50_000_000;
    private static final long SLO_NANOS = 6_000_000_000L;
    private static final long PREFILL_NANOS = 500_000_000;

    /** The original, names and all. */
    private static final class Literal {
        private final ArrayDeque<Long> waiting = new ArrayDeque<>(); // newest in front
        private final Map<Long, Long> arrival = new LinkedHashMap<>();
        private int lastWaiting;
        private int r1 = 1;
        private int r2 = 1;
        private int hasWaitTokens;
        boolean newestFirst;

        /** Whether the loop asks for a new batch. */
        boolean tries(boolean batchRuns, int maxWaitTokens) {
            if (!batchRuns || hasWaitTokens >= maxWaitTokens) {
                return true;
            }
            hasWaitTokens++;
            return false;
        }

        void append(long id, long now) {
            waiting.addFirst(id);
            arrival.put(id, now);
        }

        List<Long> generateNewBatch(int room, long now) {
            r1 = (int) (0.7 * (waiting.size() - lastWaiting) + 0.3 * r1);
            waiting.removeIf(id -> now - arrival.get(id) + PREFILL_NANOS >= SLO_NANOS);
            newestFirst = r1 >= r2;
            List<Long> admitted = new ArrayList<>();
            while (!waiting.isEmpty() && admitted.size() < room) {
                admitted.add(newestFirst ? waiting.removeFirst() : waiting.removeLast());
            }
            if (!admitted.isEmpty()) {
                lastWaiting = waiting.size();
                r2 = Math.max((int) (0.7 * admitted.size() + 0.3 * r2), 1);
                hasWaitTokens = 0;
            }
            return admitted;
        }

        List<Long> oldestFirst() {
            List<Long> all = new ArrayList<>(waiting);
            Collections.reverse(all);
            return all;
        }
    }

    private static Scheduler scheduler(int admitEverySteps) {
        PolicySettings settings = PolicySettings.SLORA.with(new Batching(admitEverySteps, false));
        return new Scheduler(
                new PoolGeometry(10_000, 4, 0, 0),
                new SchedulerLimits(64, 50, 1, 64, 8, PLACES, PLACES, 0, 64, 0),
                SchedulerPolicies.of(settings, StepCostModel.Linear.FREE));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 3, 10})
    void takesWhomTheOriginalTakes(int maxWaitTokens) {
        int newestFirst = 0;
        int oldestFirst = 0;
        int aborted = 0;
        for (int seed = 0; seed < 50; seed++) {
            SplittableRandom random = new SplittableRandom(seed);
            Scheduler scheduler = scheduler(maxWaitTokens + 1);
            Literal literal = new Literal();
            EventBatch events = new EventBatch();
            StepOutcome outcome = new StepOutcome();
            List<Long> waiting = new ArrayList<>();
            long id = 0;
            int running = 0;
            for (int step = 0; step < 600; step++) {
                long now = step * STEP_NANOS;
                double rate =
                        step / 100 % 2 == 0 ? 0.6 : 0.1; // of the places, so that it is too much and then too little
                for (int place = 0; place < PLACES; place++) {
                    if (random.nextDouble() < rate) {
                        RequestSpec spec = Requests.of(id, 2, 1 + random.nextInt(6))
                                .ttft(SLO_NANOS)
                                .at(now);
                        scheduler.submit(spec, now);
                        literal.append(id, now);
                        waiting.add(id++);
                    }
                }
                boolean tries = literal.tries(running > 0, maxWaitTokens);
                List<Long> expected = tries ? literal.generateNewBatch(PLACES - running, now) : List.of();
                StepPlan plan = scheduler.plan(now);
                int samples = plan.sampleCount;
                scheduler.drainEvents(events);
                List<Long> taken = new ArrayList<>();
                for (int i = 0; i < events.size(); i++) {
                    waiting.remove(events.get(i).requestId());
                    if (events.get(i) instanceof SequenceEvent.Started started) {
                        taken.add(started.requestId());
                    } else {
                        aborted++;
                    }
                }
                events.clear();
                String where = "seed " + seed + ", step " + step;
                assertEquals(expected, taken, where);
                assertTrue(!tries || literal.oldestFirst().equals(waiting), where);
                running += taken.size();
                newestFirst += taken.size() > 1 && literal.newestFirst ? 1 : 0;
                oldestFirst += taken.size() > 1 && !literal.newestFirst ? 1 : 0;
                if (!plan.isEmpty()) {
                    outcome.stepId = plan.stepId;
                    outcome.sampleCount = samples;
                    outcome.tokenIds = new int[samples];
                    outcome.logProbs = new float[samples];
                    outcome.topStart = new int[samples + 1];
                    scheduler.commit(outcome, now);
                    scheduler.drainEvents(events);
                    for (int i = 0; i < events.size(); i++) {
                        running -= events.get(i) instanceof SequenceEvent.Finished ? 1 : 0;
                    }
                    events.clear();
                }
            }
        }
        assertTrue(
                newestFirst > 50 && oldestFirst > 50 && aborted > 100,
                newestFirst + ", " + oldestFirst + ", " + aborted);
    }
}
