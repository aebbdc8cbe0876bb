package io.chorale.core.sched;

import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.model.Check;
import java.util.Arrays;

/**
 * Every rule of {@code chorale/step_abi.h} that a plan can break by itself, and the scheduler's own limits: the same that
 * the engine's view of a step checks again. Keeps only the number of samples of the step before.
 */
public final class PlanValidator {
    private static final int NOT_SEEN = 0;
    private static final int READ = 1;
    private static final int WRITTEN = 2;

    private final PoolGeometry geometry;
    private final SchedulerLimits limits;
    private final int[] pageSeen;
    private final int[] slotSeen;
    private long previousStep = -1;
    private int previousSamples;

    public PlanValidator(PoolGeometry geometry, SchedulerLimits limits) {
        this.geometry = geometry;
        this.limits = limits;
        pageSeen = new int[geometry.pageCount()];
        slotSeen = new int[geometry.slotsMax()];
    }

    /** @throws IllegalStateException naming the first rule that is broken */
    public void check(StepPlan plan) {
        Check.state(plan.stepId == previousStep + 1, () -> "step " + plan.stepId + " follows step " + previousStep);
        checkRows(plan);
        checkPages(plan);
        checkSegments(plan);
        checkSamples(plan);
        checkMoves(plan);
        previousStep = plan.stepId;
        previousSamples = plan.sampleCount;
    }

    private void checkRows(StepPlan plan) {
        atMost("rows", plan.rowCount, limits.stepTokensMax());
        atMost("sequences", plan.sequenceCount, limits.sequencesMax());
        starts("sequence rows", plan.seqTokenStart, plan.sequenceCount, plan.rowCount, 1);
        for (int t = 0; t < plan.rowCount; t++) {
            int id = plan.tokenIds[t];
            range("token", id, -previousSamples, limits.vocab());
        }
        boolean[] scratchSeen = new boolean[geometry.scratchMax()];
        for (int s = 0; s < plan.sequenceCount; s++) {
            int begin = plan.seqTokenStart[s];
            int end = plan.seqTokenStart[s + 1];
            for (int t = begin; t < end; t++) {
                int at = t;
                range("position", plan.positions[t], 0, limits.contextMax());
                Check.state(
                        plan.positions[t] == plan.positions[begin] + t - begin,
                        () -> "positions of a sequence do not ascend by one at row " + at);
                Check.state(
                        plan.tokenIds[t] >= 0 || at == end - 1, () -> "a token still being drawn is not the last row");
            }
            int sequence = s;
            Check.state(
                    plan.seqContext[s] == plan.positions[end - 1] + 1,
                    () -> "context of sequence " + sequence + " does not end at its last row");
            range("prompt length", plan.seqPrompt[s], 1, limits.contextMax());
            int scratch = plan.seqScratch[s];
            range("scratch slot", scratch, -1, geometry.scratchMax());
            if (scratch >= 0) {
                Check.state(!scratchSeen[scratch], () -> "scratch slot " + scratch + " is used twice");
                scratchSeen[scratch] = true;
            }
        }
    }

    private void checkPages(StepPlan plan) {
        starts("sequence pages", plan.seqPageStart, plan.sequenceCount, plan.pageRefCount, 1);
        Arrays.fill(pageSeen, NOT_SEEN);
        for (int i = 0; i < plan.movePageRefCount; i++) {
            takePage(plan.movePages[i], WRITTEN);
        }
        for (int s = 0; s < plan.sequenceCount; s++) {
            int sequence = s;
            int start = plan.seqPageStart[s];
            Check.state(
                    plan.seqPageStart[s + 1] - start == geometry.pagesFor(plan.seqContext[s]),
                    () -> "sequence " + sequence + " has too many or too few pages");
            int firstWritten = start + plan.positions[plan.seqTokenStart[s]] / geometry.pageTokens();
            for (int i = start; i < plan.seqPageStart[s + 1]; i++) {
                takePage(plan.pageIds[i], i < firstWritten ? READ : WRITTEN);
            }
        }
    }

    /** A page that is written is named once in a step; those that are only read may be shared. */
    private void takePage(int page, int use) {
        range("page", page, 0, geometry.pageCount());
        boolean shared = pageSeen[page] == READ && use == READ;
        Check.state(
                pageSeen[page] == NOT_SEEN || shared, () -> "page " + page + " is written and named twice in one step");
        pageSeen[page] = use;
    }

    private void checkSegments(StepPlan plan) {
        starts("segments", plan.segmentStart, plan.segmentCount, plan.rowCount, 1);
        starts("segment slots", plan.segmentSlotStart, plan.segmentCount, plan.segmentSlotCount, 0);
        Arrays.fill(slotSeen, -1);
        int adapters = 0;
        int sequence = 0;
        for (int g = 0; g < plan.segmentCount; g++) {
            int segment = g;
            for (int i = plan.segmentSlotStart[g]; i < plan.segmentSlotStart[g + 1]; i++) {
                int slot = plan.segmentSlots[i];
                range("adapter slot", slot, 0, geometry.slotsMax());
                Check.state(slotSeen[slot] != segment, () -> "slot " + slot + " is twice in segment " + segment);
                Check.state(Float.isFinite(plan.segmentScales[i]), () -> "a scale of slot " + slot + " is not finite");
                adapters += slotSeen[slot] == -1 ? 1 : 0;
                slotSeen[slot] = segment;
            }
            while (sequence < plan.sequenceCount && plan.seqTokenStart[sequence] < plan.segmentStart[g + 1]) {
                sequence++;
            }
            Check.state(
                    plan.seqTokenStart[sequence] == plan.segmentStart[g + 1],
                    () -> "segment " + segment + " ends inside a sequence");
        }
        atMost("adapters", adapters, limits.adaptersPerStepMax());
    }

    private void checkSamples(StepPlan plan) {
        atMost("samples", plan.sampleCount, limits.samplesMax());
        starts("biases", plan.biasStart, plan.sampleCount, plan.biasCount, 0);
        int sequence = 0;
        for (int k = 0; k < plan.sampleCount; k++) {
            int row = plan.sampleRow[k];
            range("sampled row", row, 0, plan.rowCount);
            Check.state(k == 0 || row > plan.sampleRow[k - 1], () -> "sampled rows do not ascend at row " + row);
            while (plan.seqTokenStart[sequence + 1] <= row) {
                sequence++;
            }
            boolean penalties = plan.repetition[k] != 1 || plan.presence[k] != 0 || plan.frequency[k] != 0;
            int scratch = plan.seqScratch[sequence];
            Check.state(!penalties || scratch >= 0, () -> "row " + row + " has penalties but no token counts");
        }
        for (int i = 0; i < plan.biasCount; i++) {
            range("bias token", plan.biasIds[i], 0, limits.vocab());
            Check.state(!Float.isNaN(plan.biasValues[i]), () -> "a bias is NaN");
        }
    }

    private void checkMoves(StepPlan plan) {
        for (int m = 0; m < plan.moveCount; m++) {
            int move = m;
            int kind = plan.moveKind[m];
            switch (kind) {
                case StepPlan.MOVE_LOAD -> {
                    Check.state(plan.movePageCount[move] > 0, () -> "move " + move + " loads into no pages");
                    Check.state(plan.moveHandle[move] > 0, () -> "move " + move + " loads no adapter");
                    range("first layer group", plan.moveA[m], 0, plan.moveB[m]);
                    range("last layer group", plan.moveB[m], 1, limits.layerGroups() + 1);
                    range("loaded slot", plan.moveSlot[m], 0, geometry.slotsMax());
                }
                case StepPlan.MOVE_DROP, StepPlan.MOVE_MERGE ->
                    range("moved slot", plan.moveSlot[m], 0, geometry.slotsMax());
                case StepPlan.MOVE_RESET_SEQUENCE ->
                    range("reset scratch slot", plan.moveA[m], 0, geometry.scratchMax());
                case StepPlan.MOVE_UNMERGE -> {}
                default -> throw new IllegalStateException("the scheduler plans no move of kind " + kind);
            }
        }
        range("merged slot", plan.mergedSlot, -1, geometry.slotsMax());
    }

    private static void atMost(String what, int count, int max) {
        Check.state(count <= max, () -> count + " " + what + " in a step that may have " + max);
    }

    private static void range(String what, int value, int from, int below) {
        Check.state(
                value >= from && value < below, () -> what + " " + value + " is outside [" + from + ", " + below + ")");
    }

    /** CSR starts: from 0 to {@code end}, each span at least {@code least} long. */
    private static void starts(String what, int[] start, int count, int end, int least) {
        Check.state(start[0] == 0 && start[count] == end, () -> what + " do not cover " + end + " elements");
        for (int i = 0; i < count; i++) {
            int at = i;
            Check.state(start[i + 1] - start[i] >= least, () -> what + " are broken at " + at);
        }
    }
}
