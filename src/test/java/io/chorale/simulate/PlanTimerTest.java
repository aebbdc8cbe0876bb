package io.chorale.simulate;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.chorale.core.sched.StepPlan;
import org.junit.jupiter.api.Test;

/** What a plan is counted as. */
class PlanTimerTest {
    private static final int RANK_SMALL = 8;
    private static final int RANK_LARGE = 64;
    private static final PromptTiles TILES = new PromptTiles(32, 200, 64, 2);
    private static final HostCosts HOST = new HostCosts(1_000_000, 100_000, 10_000, 0, 0);

    /** A nanosecond for each rank that a row's or a tile's adapter is read with; nothing else. */
    private static PlanTimer timer(PromptTiles tiles, HostCosts host) {
        DeviceCosts costs =
                new DeviceCosts(0, 0, new int[] {1, 2}, new double[] {0, 0}, 0, 0, 0, 0, 0, 1, 0, tiles, 0, host, 0);
        PlanTimer timer = new PlanTimer(costs, version -> version == 1 ? RANK_LARGE : RANK_SMALL, 2);
        StepPlan uploads = plan();
        for (int slot = 0; slot < 2; slot++) {
            int move = uploads.addMove(StepPlan.MOVE_LOAD, slot);
            uploads.moveHandle[move] = slot + 1;
        }
        timer.nanos(uploads);
        return timer;
    }

    private static StepPlan plan() {
        StepPlan plan = new StepPlan();
        plan.reset(1);
        return plan;
    }

    /** @param slot of its adapter; -1: none */
    private static void add(StepPlan plan, int rows, int slot) {
        plan.beginSequence(rows, rows, -1);
        for (int i = 0; i < rows; i++) {
            plan.addRow(0, i);
        }
        if (slot >= 0) {
            plan.addSegmentSlot(slot, 1);
        }
        plan.endSegment();
    }

    @Test
    void kernelsWithTilesReadAnAdapterOnceForEach() {
        StepPlan plan = plan();
        add(plan, 300, 0);
        add(plan, 40, 1);
        assertEquals(
                300 * RANK_LARGE + 40 * RANK_SMALL,
                timer(PromptTiles.NONE, HostCosts.NONE).nanos(plan));
        int tiles = 10; // of the longest: those of the short one beyond its end read, too
        assertEquals(
                tiles * (RANK_LARGE + RANK_SMALL), timer(TILES, HostCosts.NONE).nanos(plan));
    }

    @Test
    void theyAreUsedFromSoManySequencesRowsAndRanksOn() {
        StepPlan alone = plan();
        add(alone, 300, 0);
        assertEquals(300 * RANK_LARGE, timer(TILES, HostCosts.NONE).nanos(alone));
        StepPlan shorter = plan();
        add(shorter, 199, 0);
        add(shorter, 10, 0);
        assertEquals(209 * RANK_LARGE, timer(TILES, HostCosts.NONE).nanos(shorter));
        StepPlan small = plan();
        add(small, 300, 1);
        add(small, 10, 1);
        assertEquals(310 * RANK_SMALL, timer(TILES, HostCosts.NONE).nanos(small));
    }

    @Test
    void theHostTakesMoreForSequencesWithAnAdapter() {
        StepPlan plan = plan();
        add(plan, 3, -1);
        add(plan, 2, 1);
        assertEquals(
                1_000_000 + 2 * 100_000 + 10_000 + 2 * RANK_SMALL,
                timer(PromptTiles.NONE, HOST).nanos(plan));
    }
}
