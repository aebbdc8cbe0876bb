package io.chorale.core.policy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class CostRuleTest {
    private static final int PLACES = 16;

    /** 10 ms a step, so much more with adapters, and a merge of 20 ms. */
    private static StepCostModel costs(long adaptersNanos) {
        return shape -> 10_000_000L
                + (shape.adapters > 0 ? adaptersNanos : 0)
                + shape.adapterRows * 1_000L
                + (shape.mergePages > 0 ? 20_000_000L : 0);
    }

    /** Adapter 0 has so many running and waiting sequences, 1 the others that run; everybody has much to say. */
    private static BatchDemand batch(int running, int wanted, int others) {
        BatchDemand batch = new BatchDemand();
        batch.requests = wanted + others;
        batch.runningMax = PLACES;
        batch.pageCount = 1_000;
        add(batch, 0, running, wanted);
        if (others > 0) {
            add(batch, 1, others, others);
        }
        return batch;
    }

    private static void add(BatchDemand batch, int version, int running, int wanted) {
        int i = batch.add(version, 2, wanted);
        batch.running[i] = running;
        batch.tokensLeft[i] = 1_000L * running;
        batch.unmerged.adapters++;
        batch.unmerged.rows += running;
        batch.unmerged.adapterRows += running;
    }

    /** The mode that it settles in when the batch stays as it is. */
    private static WeightMode settled(CostRule rule, BatchDemand batch) {
        WeightMode mode = WeightMode.UNMERGED;
        for (int step = 0; step < 1_000; step++) {
            mode = rule.choose(batch, 0);
        }
        return mode;
    }

    @Test
    void mergesTheOnlyAdapterWhenTheSavingHasPaidForTheSwitch() {
        CostRule rule = new CostRule(costs(5_000_000), true, 0);
        BatchDemand batch = batch(4, 4, 0);
        int steps = 0;
        while (rule.choose(batch, 0) == WeightMode.UNMERGED) {
            steps++;
        }
        assertEquals(3, steps, "5 ms saved a step, the fourth makes up for 20 ms");
        assertEquals(
                0,
                assertInstanceOf(WeightMode.Merged.class, rule.choose(batch, 0)).version());
    }

    @Test
    void doesNotMergeForAnswersThatAreNearlyOver() {
        BatchDemand batch = batch(4, 4, 0);
        batch.tokensLeft[0] = 4 * 2;
        assertEquals(WeightMode.UNMERGED, settled(new CostRule(costs(5_000_000), true, 0), batch));
    }

    @Test
    void takesTheOthersAlongUnlessHoldingThemBackSavesMuchMore() {
        // Ten of its requests can have the places of the others: 10 ms for 16 rows against 25 ms.
        WeightMode.Merged alone = assertInstanceOf(
                WeightMode.Merged.class, settled(new CostRule(costs(15_000_000), true, 0), batch(12, 30, 4)));
        assertTrue(!alone.mixture(), "the others wait");
        // 12 rows in 10 ms against 16 rows in 10.5 ms.
        WeightMode.Merged together =
                assertInstanceOf(WeightMode.Merged.class, settled(new CostRule(perRow(), true, 0), batch(12, 12, 4)));
        assertTrue(together.mixture(), "the others come along");
    }

    @Test
    void holdsNobodyBackOnADoubtfulSaving() {
        long[] doubt = {0};
        CostRule rule = new CostRule(doubtful(costs(15_000_000), doubt), true, 0);
        BatchDemand batch = batch(12, 30, 4);
        WeightMode.Merged alone = assertInstanceOf(WeightMode.Merged.class, settled(rule, batch));
        assertTrue(!alone.mixture(), "the others wait while 12.5 ms of 25 are sure to be saved");
        doubt[0] = 6_000_000;
        assertSame(alone, settled(rule, batch), "still sure");
        doubt[0] = 7_000_000;
        assertEquals(new WeightMode.Merged(0, true), settled(rule, batch), "everybody runs");
        doubt[0] = 0;
        assertSame(alone, rule.choose(batch, 0), "sure again");
    }

    @Test
    void runsMergedOnADoubtfulSavingWhereNobodyIsHeldBack() {
        long[] doubt = {0};
        CostRule rule = new CostRule(doubtful(costs(5_000_000), doubt), false, 0);
        assertInstanceOf(WeightMode.Merged.class, settled(rule, batch(12, 12, 0)));
        doubt[0] = 7_000_000;
        assertInstanceOf(WeightMode.Merged.class, settled(rule, batch(12, 12, 0)));
        assertEquals(WeightMode.PAUSED, settled(rule, batch(12, 12, 4)), "others would have to wait");
    }

    @Test
    void givesUpShadowPagesThatOnlyADoubtfulSavingWouldUse() {
        long[] doubt = {0};
        CostRule rule = new CostRule(doubtful(costs(15_000_000), doubt), true, 10);
        BatchDemand batch = batch(12, 30, 4);
        assertInstanceOf(WeightMode.Merged.class, settled(rule, batch));
        doubt[0] = 7_000_000;
        batch.pagesShort = true;
        assertEquals(
                WeightMode.UNMERGED,
                rule.choose(batch, 0),
                "taking the others along saves less than the pages are worth");
    }

    /** The same costs, of which differences may be off by so much. */
    private static StepCostModel doubtful(StepCostModel known, long[] doubtNanos) {
        return new StepCostModel() {
            @Override
            public long stepNanos(StepShape step) {
                return known.stepNanos(step);
            }

            @Override
            public long doubtNanos(StepShape step, StepShape other, double part) {
                return doubtNanos[0];
            }
        };
    }

    /** Adapters cost by their rows only. */
    private static StepCostModel perRow() {
        return shape -> 10_000_000L + shape.adapterRows * 100_000L + (shape.mergePages > 0 ? 1_000_000L : 0);
    }

    @Test
    void uniformDemandIsNeverMerged() {
        BatchDemand batch = new BatchDemand();
        batch.runningMax = PLACES;
        for (int version = 0; version < 5; version++) {
            add(batch, version, 3, 3);
        }
        assertEquals(WeightMode.UNMERGED, settled(new CostRule(costs(1_000_000), true, 0), batch));
    }

    @Test
    void shadowPagesHaveAPriceWhilePagesAreShort() {
        BatchDemand batch = batch(4, 4, 0);
        // It saves 1 ms of 11: worth a tenth of the pool where somebody waits for pages, not a fifth.
        CostRule small = new CostRule(costs(1_000_000), true, 50);
        CostRule large = new CostRule(costs(1_000_000), true, 200);
        assertInstanceOf(WeightMode.Merged.class, settled(large, batch));
        batch.pagesShort = true;
        assertInstanceOf(WeightMode.Merged.class, settled(small, batch));
        assertEquals(WeightMode.UNMERGED, large.choose(batch, 0), "what is merged is given up");
        assertEquals(WeightMode.UNMERGED, settled(new CostRule(costs(1_000_000), true, 200), batch));
    }
}
