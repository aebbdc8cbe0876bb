package io.chorale.core.policy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/**
 * dLoRA's thresholds against a literal transcription of the artifact's scheduler (vllm/core/scheduler.py, branches b, c and d and
 * adjust_thresholds), on its own constants, over random queues.
 */
class ThresholdRuleTest {
    private static final int M = 16;
    private static final double MERGE_TIME = .015;
    private static final double UNMERGE_TIME = .027;
    private static final double SWITCH_COST = .020;
    private static final double SPEED_RATE = .556;
    /** Merged steps take 15 ms, unmerged ones 27 ms, a switch 20 ms, whatever is in them. */
    private static final StepCostModel COSTS =
            shape -> 15_000_000L + (shape.adapters > 0 ? 12_000_000L : 0) + (shape.mergePages > 0 ? 20_000_000L : 0);

    /** The artifact's, names and all; credits never come into it. */
    private static final class Literal {
        double mergeRight = 1.0;
        double mergeLeft = SPEED_RATE;
        int merged = -1;
        int lastM = -1;
        int iters;
        double mergeBatchCnt;
        double unmergeBatchCnt;
        int virtualSwitchCnt;

        /** Returns the adapter to run merged, or -1. */
        int iterate(int[] reqs) {
            int total = Arrays.stream(reqs).sum();
            int fcfs = Math.min(total, M);
            int m = 0;
            for (int a = 1; a < reqs.length; a++) {
                m = reqs[a] > reqs[m] ? a : m;
            }
            int wouldBe = m;
            if (merged >= 0 && reqs[merged] >= mergeLeft * fcfs) {
                wouldBe = merged;
            } else {
                if (merged >= 0) {
                    adjustThresholds();
                    merged = -1;
                }
                if (reqs[m] >= mergeRight * fcfs) {
                    adjustThresholds();
                    merged = m;
                } else if (m != lastM) {
                    virtualSwitchCnt++;
                    lastM = m;
                }
            }
            iters++;
            mergeBatchCnt += Math.min(reqs[wouldBe], M);
            unmergeBatchCnt += fcfs;
            return merged;
        }

        private void adjustThresholds() {
            boolean isMerged = merged >= 0;
            double timeMerged = MERGE_TIME * iters + (isMerged ? SWITCH_COST : SWITCH_COST * virtualSwitchCnt);
            double timeUnmerged = UNMERGE_TIME * iters + (isMerged ? 0 : SWITCH_COST);
            double tputM = timeMerged > 0 ? mergeBatchCnt / timeMerged : 0;
            double tputU = timeUnmerged > 0 ? unmergeBatchCnt / timeUnmerged : 0;
            if (isMerged && tputM > tputU) {
                mergeRight = Math.max(mergeLeft, mergeRight - .05);
            } else if (isMerged && tputM < tputU) {
                mergeRight *= 1.1;
            } else if (!isMerged && tputU > tputM) {
                mergeLeft = Math.min(mergeRight, mergeLeft + .05);
            } else if (!isMerged && tputU < tputM) {
                mergeLeft /= 1.1;
            }
            iters = 0;
            mergeBatchCnt = 0;
            unmergeBatchCnt = 0;
            virtualSwitchCnt = 0;
        }
    }

    @Test
    void decidesAndAdaptsAsTheArtifactDoes() {
        int switches = 0;
        for (int seed = 0; seed < 200; seed++) {
            SplittableRandom random = new SplittableRandom(seed);
            int adapters = 1 + random.nextInt(8);
            Literal literal = new Literal();
            ThresholdRule rule = new ThresholdRule(COSTS, SPEED_RATE);
            BatchDemand batch = new BatchDemand();
            int[] reqs = new int[adapters];
            int before = -1;
            int favourite = 0;
            for (int step = 0; step < 2_000; step++) {
                favourite = step % 50 == 0 ? random.nextInt(adapters) : favourite;
                drift(reqs, favourite, random);
                int expected = literal.iterate(reqs);
                int decided =
                        rule.choose(demand(batch, reqs), 0) instanceof WeightMode.Merged merged ? merged.version() : -1;
                String where = "seed " + seed + ", step " + step + ", " + Arrays.toString(reqs);
                assertEquals(expected, decided, where);
                assertEquals(literal.mergeRight, rule.enterShare(), 1e-9, where);
                assertEquals(literal.mergeLeft, rule.stayShare(), 1e-9, where);
                switches += decided != before ? 1 : 0;
                before = decided;
            }
        }
        assertTrue(switches > 1_000, "a rule that never switches proves nothing: " + switches);
    }

    /** Queues that grow and shrink, one of them longer for a while; none is ever empty, or it would be nobody's. */
    private static void drift(int[] reqs, int favourite, SplittableRandom random) {
        for (int a = 0; a < reqs.length; a++) {
            int aim = a == favourite ? 20 : 1;
            reqs[a] = Math.max(1, reqs[a] + Integer.signum(aim - reqs[a]) + random.nextInt(3) - 1);
        }
    }

    /** As planning draws it up: the first 16 of the queue, dealt out in turn, run. */
    private static BatchDemand demand(BatchDemand batch, int[] reqs) {
        batch.clear();
        batch.requests = Arrays.stream(reqs).sum();
        batch.runningMax = M;
        for (int a = 0; a < reqs.length; a++) {
            batch.add(a, 1, reqs[a]);
            batch.unmerged.adapters++;
        }
        for (int i = 0, a = 0; i < Math.min(batch.requests, M); a = (a + 1) % reqs.length) {
            if (batch.running[a] < reqs[a]) {
                batch.running[a]++;
                batch.unmerged.rows++;
                i++;
            }
        }
        return batch;
    }
}
