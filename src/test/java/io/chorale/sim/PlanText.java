package io.chorale.sim;

import io.chorale.core.sched.StepPlan;

/** A plan as a line that people can read: moves, then each segment with its sequences. */
final class PlanText {
    private static final String[] MOVES = {"", "load", "drop", "copy", "export", "import", "merge", "unmerge", "reset"};

    private PlanText() {}

    static String of(StepPlan plan) {
        StringBuilder text = new StringBuilder("step ").append(plan.stepId);
        for (int m = 0; m < plan.moveCount; m++) {
            boolean reset = plan.moveKind[m] == StepPlan.MOVE_RESET_SEQUENCE;
            text.append(" | ").append(MOVES[plan.moveKind[m]]).append(reset ? " counts " : " slot ");
            text.append(reset ? plan.moveA[m] : plan.moveSlot[m]);
            if (plan.movePageCount[m] > 0) {
                text.append(" pages");
                pages(plan.movePages, plan.moveFirst[m], plan.moveFirst[m] + plan.movePageCount[m], text);
            }
        }
        if (plan.mergedSlot >= 0) {
            text.append(" | merged slot ").append(plan.mergedSlot);
        }
        int s = 0;
        for (int g = 0; g < plan.segmentCount; g++) {
            text.append("\n  ");
            for (int i = plan.segmentSlotStart[g]; i < plan.segmentSlotStart[g + 1]; i++) {
                text.append("slot ").append(plan.segmentSlots[i]);
                text.append(plan.segmentScales[i] == 1 ? " " : "*" + plan.segmentScales[i] + " ");
            }
            text.append(plan.segmentSlotStart[g] == plan.segmentSlotStart[g + 1] ? "base:" : ":");
            for (; s < plan.sequenceCount && plan.seqTokenStart[s] < plan.segmentStart[g + 1]; s++) {
                sequence(plan, s, text);
            }
        }
        return text.toString();
    }

    private static void sequence(StepPlan plan, int s, StringBuilder text) {
        int first = plan.seqTokenStart[s];
        int last = plan.seqTokenStart[s + 1] - 1;
        text.append(" [").append(plan.positions[first]);
        if (last > first) {
            text.append("..").append(plan.positions[last]);
        }
        text.append(plan.tokenIds[last] < 0 ? " drawn by " + -(plan.tokenIds[last] + 1) : "")
                .append(" in");
        pages(plan.pageIds, plan.seqPageStart[s], plan.seqPageStart[s + 1], text);
        for (int k = 0; k < plan.sampleCount; k++) {
            if (plan.sampleRow[k] == last) {
                text.append(" draws");
                if (plan.biasStart[k + 1] > plan.biasStart[k]) {
                    text.append(" biased");
                }
            }
        }
        text.append(']');
    }

    private static void pages(int[] pages, int from, int to, StringBuilder text) {
        for (int i = from; i < to; i++) {
            text.append(i == from ? " " : ",").append(pages[i]);
        }
    }
}
