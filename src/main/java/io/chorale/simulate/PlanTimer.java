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
        int longest = 0;
        for (int s = 0; s < plan.sequenceCount; s++) {
            int rows = plan.seqTokenStart[s + 1] - plan.seqTokenStart[s];
            longest = Math.max(longest, rows);
            int context = plan.seqContext[s];
            if (rows > 1) {
                load.pairs += rows * (context - (rows - 1) / 2.0);
            } else {
                load.contextTokens += context;
            }
        }
        readAdapters(plan, longest);
        return costs.nanos(load);
    }

    private void readAdapters(StepPlan plan, int longest) {
        stamp++;
        int largestRank = 0;
        for (int i = 0; i < plan.segmentSlotCount; i++) {
            largestRank = Math.max(largestRank, slotRank[plan.segmentSlots[i]]);
        }
        boolean tiled = costs.promptTiles().used(plan.sequenceCount, longest, largestRank);
        int tiles = costs.promptTiles().of(longest);
        int s = 0;
        for (int g = 0; g < plan.segmentCount; g++) {
            int sequences = 0;
            for (; s < plan.sequenceCount && plan.seqTokenStart[s] < plan.segmentStart[g + 1]; s++) {
                sequences++;
            }
            int adapters = plan.segmentSlotStart[g + 1] - plan.segmentSlotStart[g];
            load.sequencesWithAdapter += adapters > 0 ? sequences : 0;
            long reads = tiled ? (long) sequences * tiles : plan.segmentStart[g + 1] - plan.segmentStart[g];
            for (int i = plan.segmentSlotStart[g]; i < plan.segmentSlotStart[g + 1]; i++) {
                int slot = plan.segmentSlots[i];
                load.rowRanks += reads * slotRank[slot];
                load.rowLargestRanks += reads * (tiled ? slotRank[slot] : largestRank);
                if (slotSeen[slot] != stamp) {
                    slotSeen[slot] = stamp;
                    load.adapters++;
                    load.adapterRanks += slotRank[slot];
                }
            }
        }
    }

    /** Of the plan last asked about. */
    int merges() {
        return load.merges;
    }
}
