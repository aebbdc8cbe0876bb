package io.chorale.simulate;

import io.chorale.core.sched.StepPlan;
import java.util.function.IntUnaryOperator;

/** Says how long a device needs for each plan, following which adapter lies in which slot. */
final class PlanTimer {
    private final DeviceCosts costs;
    private final IntUnaryOperator rankOfVersion;
    private final StepLoad load = new StepLoad();
    private final int[] slotRank;
    private final long[] slotSeen;
    private long stamp;

    PlanTimer(DeviceCosts costs, IntUnaryOperator rankOfVersion, int slotsMax) {
        this.costs = costs;
        this.rankOfVersion = rankOfVersion;
        slotRank = new int[slotsMax];
        slotSeen = new long[slotsMax];
    }

    /** Takes the plan's moves as done. Handles of adapters are their versions. */
    long nanos(StepPlan plan) {
        load.clear();
        load.rows = plan.rowCount;
        load.sequences = plan.sequenceCount;
        for (int m = 0; m < plan.moveCount; m++) {
            if (plan.moveKind[m] == StepPlan.MOVE_LOAD) {
                int rank = rankOfVersion.applyAsInt((int) plan.moveHandle[m]);
                slotRank[plan.moveSlot[m]] = rank;
                load.uploads++;
                load.uploadRanks += rank;
            } else if (plan.moveKind[m] == StepPlan.MOVE_MERGE) {
                load.merges++;
            }
        }
        for (int s = 0; s < plan.sequenceCount; s++) {
            int rows = plan.seqTokenStart[s + 1] - plan.seqTokenStart[s];
            int context = plan.seqContext[s];
            if (rows > 1) {
                load.pairs += rows * (context - (rows - 1) / 2.0);
            } else {
                load.contextTokens += context;
            }
        }
        stamp++;
        long adapterRows = 0;
        int largestRank = 0;
        for (int g = 0; g < plan.segmentCount; g++) {
            int rows = plan.segmentStart[g + 1] - plan.segmentStart[g];
            for (int i = plan.segmentSlotStart[g]; i < plan.segmentSlotStart[g + 1]; i++) {
                int slot = plan.segmentSlots[i];
                load.rowRanks += (long) rows * slotRank[slot];
                adapterRows += rows;
                largestRank = Math.max(largestRank, slotRank[slot]);
                if (slotSeen[slot] != stamp) {
                    slotSeen[slot] = stamp;
                    load.adapters++;
                    load.adapterRanks += slotRank[slot];
                }
            }
        }
        load.rowLargestRanks = adapterRows * largestRank;
        return costs.nanos(load);
    }

    /** Of the plan last asked about. */
    int merges() {
        return load.merges;
    }
}
