package io.chorale.engine.jni;

import io.chorale.core.sched.StepPlan;
import java.nio.ByteBuffer;

/** Writes plans as step and late buffers. One of each, reused: the engine has read them when {@code begin} returns. */
final class StepEncoder {
    private final SectionBuffer step = new SectionBuffer(StepLayout.STEP_HEADER_BYTES, StepLayout.STEP_SECTIONS);
    private final SectionBuffer late = new SectionBuffer(StepLayout.LATE_HEADER_BYTES, StepLayout.LATE_SECTIONS);

    /** @param wireId the step's number on the wire; without gaps, unlike the plan's own when a step was refused */
    SectionBuffer step(StepPlan plan, long wireId) {
        step.clear();
        putRows(plan);
        putSegments(plan);
        putSamples(plan);
        putMoves(plan);
        ByteBuffer out = step.bytes();
        out.putInt(0, StepLayout.STEP_MAGIC);
        out.putInt(4, StepLayout.ABI_VERSION);
        out.putLong(8, step.size());
        out.putLong(16, wireId);
        out.putInt(24, plan.hasLate() ? StepLayout.STEP_LATE : 0);
        out.putInt(28, StepLayout.STEP_SECTIONS);
        out.putInt(32, plan.mergedSlot < 0 ? StepLayout.UNMERGED : StepLayout.MERGED);
        out.putInt(36, plan.mergedSlot);
        out.putLong(40, 0);
        return step;
    }

    SectionBuffer late(StepPlan plan, long wireId, int vocab) {
        late.clear();
        late.put(StepLayout.MASK_BITS, plan.maskBits, Math.multiplyExact(plan.maskCount, maskWords(vocab)));
        if (plan.biasCount > 0) {
            late.put(StepLayout.BIAS_START, plan.biasStart, plan.sampleCount + 1);
            late.put(StepLayout.BIAS_IDS, plan.biasIds, plan.biasCount);
            late.put(StepLayout.BIAS_VALUES, plan.biasValues, plan.biasCount);
        }
        ByteBuffer out = late.bytes();
        out.putInt(0, StepLayout.LATE_MAGIC);
        out.putInt(4, StepLayout.ABI_VERSION);
        out.putLong(8, late.size());
        out.putLong(16, wireId);
        out.putInt(24, StepLayout.LATE_SECTIONS);
        out.putInt(28, plan.maskCount);
        return late;
    }

    /**
     * What the engine would refuse in the late part, or nothing. It is looked for before {@code begin}: a begun step whose
     * late part is refused would wait for it for ever.
     */
    static String lateProblem(StepPlan plan, int vocab) {
        for (int i = 0; i < plan.biasCount; i++) {
            if (plan.biasIds[i] < 0 || plan.biasIds[i] >= vocab) {
                return "a bias is for token " + plan.biasIds[i] + ", outside the vocabulary of " + vocab;
            }
            float value = plan.biasValues[i];
            if (Float.isNaN(value) || value == Float.POSITIVE_INFINITY) {
                return "the bias of token " + plan.biasIds[i] + " is " + value;
            }
        }
        for (int k = 0; k < plan.sampleCount; k++) {
            if (plan.maskIndex[k] >= plan.maskCount) {
                return "sample " + k + " has mask " + plan.maskIndex[k] + " of " + plan.maskCount;
            }
        }
        for (int mask = 0; mask < plan.maskCount; mask++) {
            if (!allowsSomething(plan.maskBits, mask * maskWords(vocab), vocab)) {
                return "mask " + mask + " allows no token";
            }
        }
        return "";
    }

    private static boolean allowsSomething(int[] bits, int from, int vocab) {
        int words = maskWords(vocab);
        for (int i = 0; i < words; i++) {
            int counted = i < words - 1 || vocab % 32 == 0 ? -1 : (1 << (vocab % 32)) - 1;
            if ((bits[from + i] & counted) != 0) {
                return true;
            }
        }
        return false;
    }

    private static int maskWords(int vocab) {
        return (vocab + 31) / 32;
    }

    private void putRows(StepPlan plan) {
        int sequences = plan.sequenceCount;
        int starts = sequences == 0 ? 0 : sequences + 1;
        step.put(StepLayout.TOKEN_IDS, plan.tokenIds, plan.rowCount);
        step.put(StepLayout.POSITIONS, plan.positions, plan.rowCount);
        step.put(StepLayout.SEQ_TOKEN_START, plan.seqTokenStart, starts);
        step.put(StepLayout.SEQ_CONTEXT, plan.seqContext, sequences);
        step.put(StepLayout.SEQ_PROMPT, plan.seqPrompt, sequences);
        step.put(StepLayout.SEQ_PAGE_START, plan.seqPageStart, starts);
        step.put(StepLayout.PAGE_IDS, plan.pageIds, plan.pageRefCount);
        step.put(StepLayout.SEQ_SCRATCH, plan.seqScratch, sequences);
    }

    private void putSegments(StepPlan plan) {
        int starts = plan.segmentCount == 0 ? 0 : plan.segmentCount + 1;
        step.put(StepLayout.SEGMENT_START, plan.segmentStart, starts);
        step.put(StepLayout.SEGMENT_SLOT_START, plan.segmentSlotStart, starts);
        step.put(StepLayout.SEGMENT_SLOTS, plan.segmentSlots, plan.segmentSlotCount);
        step.put(StepLayout.SEGMENT_SCALES, plan.segmentScales, plan.segmentSlotCount);
    }

    private void putSamples(StepPlan plan) {
        int samples = plan.sampleCount;
        step.put(StepLayout.SAMPLE_ROW, plan.sampleRow, samples);
        step.put(StepLayout.SAMPLE_TEMPERATURE, plan.temperature, samples);
        step.put(StepLayout.SAMPLE_TOP_K, plan.topK, samples);
        step.put(StepLayout.SAMPLE_TOP_P, plan.topP, samples);
        step.put(StepLayout.SAMPLE_MIN_P, plan.minP, samples);
        step.put(StepLayout.SAMPLE_REPETITION, plan.repetition, samples);
        step.put(StepLayout.SAMPLE_PRESENCE, plan.presence, samples);
        step.put(StepLayout.SAMPLE_FREQUENCY, plan.frequency, samples);
        step.put(StepLayout.SAMPLE_SEED, plan.seed, samples);
        step.put(StepLayout.SAMPLE_TOP_LOGPROBS, plan.topLogProbs, samples);
        step.put(StepLayout.SAMPLE_MASK, plan.maskIndex, samples);
        step.put(StepLayout.HIDDEN_ROWS, plan.hiddenRows, plan.hiddenCount);
    }

    private void putMoves(StepPlan plan) {
        int at = step.open(StepLayout.MOVES, plan.moveCount, StepLayout.MOVE_BYTES);
        ByteBuffer out = step.bytes();
        for (int m = 0; m < plan.moveCount; m++, at += StepLayout.MOVE_BYTES) {
            out.putInt(at, plan.moveKind[m]);
            out.putInt(at + 4, plan.moveSlot[m]);
            out.putInt(at + 8, plan.moveFirst[m]);
            out.putInt(at + 12, plan.movePageCount[m]);
            out.putInt(at + 16, plan.moveA[m]);
            out.putInt(at + 20, plan.moveB[m]);
            out.putLong(at + 24, plan.moveHandle[m]);
            out.putFloat(at + 32, plan.moveScale[m]);
            out.putInt(at + 36, 0);
        }
        step.put(StepLayout.MOVE_PAGES, plan.movePages, plan.movePageRefCount);
    }
}
