package io.chorale.engine.jni;

import io.chorale.core.sched.StepOutcome;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;
import java.nio.charset.StandardCharsets;

/** Reads result buffers into one reused outcome. The buffer grows to the largest result there was. */
final class StepDecoder {
    private static final int BYTES_FIRST = 1 << 18;

    private final StepOutcome outcome = new StepOutcome();
    private ByteBuffer bytes = NativeBuffers.allocate(BYTES_FIRST);
    private IntBuffer ints = bytes.asIntBuffer();
    private LongBuffer longs = bytes.asLongBuffer();
    private FloatBuffer floats = bytes.asFloatBuffer();

    /** Where the engine writes the result, from position 0. */
    ByteBuffer bytes() {
        return bytes;
    }

    void grow(long least) {
        bytes = NativeBuffers.allocate(Math.toIntExact(Math.max(least, 2L * bytes.capacity())));
        ints = bytes.asIntBuffer();
        longs = bytes.asLongBuffer();
        floats = bytes.asFloatBuffer();
    }

    /** The outcome of a step that never began, because it was refused. */
    StepOutcome refused(long stepId, String why) {
        outcome.reset(stepId);
        outcome.refuse(why);
        return outcome;
    }

    /** @param hidden width of a hidden state */
    StepOutcome decode(long stepId, int hidden) {
        check(bytes.getInt(0) == StepLayout.RESULT_MAGIC, "magic");
        check(bytes.getInt(4) == StepLayout.ABI_VERSION, "ABI version");
        check(bytes.getInt(28) == StepLayout.RESULT_SECTIONS, "section count");
        outcome.reset(stepId);
        if (bytes.getInt(24) != ChoraleNative.OK) {
            byte[] text = new byte[count(StepLayout.FAULT_TEXT)];
            bytes.get(offset(StepLayout.FAULT_TEXT), text);
            outcome.fault = text.length == 0 ? "the step failed" : new String(text, StandardCharsets.UTF_8);
            return outcome;
        }
        outcome.sampleCount = count(StepLayout.DRAWN_IDS);
        outcome.tokenIds = ints(StepLayout.DRAWN_IDS, outcome.tokenIds);
        outcome.logProbs = floats(StepLayout.DRAWN_LOGPROBS, outcome.logProbs);
        outcome.topStart = ints(StepLayout.TOP_START, outcome.topStart);
        outcome.topIds = ints(StepLayout.TOP_IDS, outcome.topIds);
        outcome.topLogProbs = floats(StepLayout.TOP_LOGPROBS, outcome.topLogProbs);
        outcome.hiddenCount = count(StepLayout.HIDDEN) / hidden;
        outcome.hidden = floats(StepLayout.HIDDEN, outcome.hidden);
        outcome.completedLoadCount = count(StepLayout.COMPLETED_LOADS) / 2;
        outcome.completedLoads = ints(StepLayout.COMPLETED_LOADS, outcome.completedLoads);
        check(count(StepLayout.PHASE_NANOS) == StepLayout.PHASES, "number of phases");
        longs.get(offset(StepLayout.PHASE_NANOS) / Long.BYTES, outcome.phaseNanos);
        return outcome;
    }

    private int offset(int section) {
        return (int) bytes.getLong(StepLayout.RESULT_HEADER_BYTES + section * StepLayout.SECTION_ENTRY_BYTES);
    }

    private int count(int section) {
        return (int)
                bytes.getLong(StepLayout.RESULT_HEADER_BYTES + section * StepLayout.SECTION_ENTRY_BYTES + Long.BYTES);
    }

    private int[] ints(int section, int[] reused) {
        int count = count(section);
        int[] into = count <= reused.length ? reused : new int[Math.max(count, reused.length * 2)];
        ints.get(offset(section) / Integer.BYTES, into, 0, count);
        return into;
    }

    private float[] floats(int section, float[] reused) {
        int count = count(section);
        float[] into = count <= reused.length ? reused : new float[Math.max(count, reused.length * 2)];
        floats.get(offset(section) / Float.BYTES, into, 0, count);
        return into;
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new IllegalStateException("the engine's result has a wrong " + what);
        }
    }
}
