package io.chorale.core.sched;

import java.util.Arrays;

/**
 * One step as the engine will see it: arrays in the order of {@code chorale/step_abi.h}, and counts that say how much of
 * each is used. Reused from step to step; the arrays grow and never shrink.
 *
 * <p>T rows, S sequences, P page references, G segments, K sampled rows, M moves. The scheduler fills it through the
 * {@code add} methods, in which the order of the calls is the order on the wire: all moves; then per sequence {@code
 * beginSequence}, its pages, its rows and samples.
 */
public final class StepPlan {
    /** A token id that is not known yet: the one that sample {@code k} of the previous step draws. */
    public static int drawnBy(int previousSample) {
        return -(previousSample + 1);
    }

    public static final int MOVE_LOAD = 1;
    public static final int MOVE_DROP = 2;
    public static final int MOVE_COPY_PAGE = 3;
    public static final int MOVE_EXPORT_PAGES = 4;
    public static final int MOVE_IMPORT_PAGES = 5;
    public static final int MOVE_MERGE = 6;
    public static final int MOVE_UNMERGE = 7;
    public static final int MOVE_RESET_SEQUENCE = 8;

    public long stepId;
    /** Slot whose shadow weights the base linears use; -1: pristine weights. */
    public int mergedSlot = -1;

    // Rows [T].
    public int rowCount;
    public int[] tokenIds = new int[64];
    public int[] positions = new int[64];

    // Sequences [S]; the CSR arrays have one element more.
    public int sequenceCount;
    public int[] seqTokenStart = new int[17];
    public int[] seqContext = new int[16];
    public int[] seqPrompt = new int[16];
    public int[] seqPageStart = new int[17];
    public int[] seqScratch = new int[16];
    public int pageRefCount;
    public int[] pageIds = new int[64];

    // Segments [G]: consecutive rows that use one adapter set.
    public int segmentCount;
    public int[] segmentStart = new int[17];
    public int[] segmentSlotStart = new int[17];
    public int segmentSlotCount;
    public int[] segmentSlots = new int[16];
    public float[] segmentScales = new float[16];

    // Samples [K].
    public int sampleCount;
    public int[] sampleRow = new int[16];
    public float[] temperature = new float[16];
    public int[] topK = new int[16];
    public float[] topP = new float[16];
    public float[] minP = new float[16];
    public float[] repetition = new float[16];
    public float[] presence = new float[16];
    public float[] frequency = new float[16];
    public long[] seed = new long[16];
    public int[] topLogProbs = new int[16];
    public int[] maskIndex = new int[16];

    // Rows whose last hidden state is wanted.
    public int hiddenCount;
    public int[] hiddenRows = new int[0];

    // Late part: logit bias by sample [K+1], and masks of ceil(V/32) words each.
    public int[] biasStart = new int[17];
    public int biasCount;
    public int[] biasIds = new int[0];
    public float[] biasValues = new float[0];
    public int maskCount;
    public int[] maskBits = new int[0];

    // Moves [M], and the pages and bytes they refer to.
    public int moveCount;
    public int[] moveKind = new int[8];
    public int[] moveSlot = new int[8];
    public int[] moveFirst = new int[8];
    public int[] movePageCount = new int[8];
    public int[] moveA = new int[8];
    public int[] moveB = new int[8];
    public long[] moveHandle = new long[8];
    public float[] moveScale = new float[8];
    public int movePageRefCount;
    public int[] movePages = new int[16];

    /** Forgets everything but the arrays. */
    public void reset(long newStepId) {
        stepId = newStepId;
        mergedSlot = -1;
        rowCount = 0;
        sequenceCount = 0;
        pageRefCount = 0;
        segmentCount = 0;
        segmentSlotCount = 0;
        sampleCount = 0;
        hiddenCount = 0;
        biasCount = 0;
        maskCount = 0;
        moveCount = 0;
        movePageRefCount = 0;
        seqTokenStart[0] = 0;
        seqPageStart[0] = 0;
        segmentStart[0] = 0;
        segmentSlotStart[0] = 0;
        biasStart[0] = 0;
    }

    public boolean isEmpty() {
        return rowCount == 0 && moveCount == 0;
    }

    /** Whether a late buffer belongs to this plan. */
    public boolean hasLate() {
        return biasCount > 0 || maskCount > 0;
    }

    /** Opens a sequence: rows and pages added from now on are its own. */
    public void beginSequence(int contextAfter, int promptTokens, int scratchSlot) {
        int s = sequenceCount++;
        seqContext = room(seqContext, s);
        seqPrompt = room(seqPrompt, s);
        seqScratch = room(seqScratch, s);
        seqTokenStart = room(seqTokenStart, s + 1);
        seqPageStart = room(seqPageStart, s + 1);
        seqContext[s] = contextAfter;
        seqPrompt[s] = promptTokens;
        seqScratch[s] = scratchSlot;
        seqTokenStart[s + 1] = rowCount;
        seqPageStart[s + 1] = pageRefCount;
    }

    public void addPages(int[] pages, int count) {
        pageIds = room(pageIds, pageRefCount + count - 1);
        System.arraycopy(pages, 0, pageIds, pageRefCount, count);
        pageRefCount += count;
        seqPageStart[sequenceCount] = pageRefCount;
    }

    public void addRow(int tokenId, int position) {
        int t = rowCount++;
        tokenIds = room(tokenIds, t);
        positions = room(positions, t);
        tokenIds[t] = tokenId;
        positions[t] = position;
        seqTokenStart[sequenceCount] = rowCount;
    }

    /** Closes a segment over the rows added since the last one; its adapters are added with {@link #addSegmentSlot}. */
    public void endSegment() {
        int g = segmentCount++;
        segmentStart = room(segmentStart, g + 1);
        segmentSlotStart = room(segmentSlotStart, g + 1);
        segmentStart[g + 1] = rowCount;
        segmentSlotStart[g + 1] = segmentSlotCount;
    }

    /** Adds an adapter to the segment that the next {@link #endSegment} closes. */
    public void addSegmentSlot(int slot, float scale) {
        int i = segmentSlotCount++;
        segmentSlots = room(segmentSlots, i);
        segmentScales = room(segmentScales, i);
        segmentSlots[i] = slot;
        segmentScales[i] = scale;
    }

    /** Adds a sampled row with every setting off (greedy); returns its index k, whose settings the caller may change. */
    public int addSample(int row) {
        int k = sampleCount++;
        sampleRow = room(sampleRow, k);
        temperature = room(temperature, k);
        topK = room(topK, k);
        topP = room(topP, k);
        minP = room(minP, k);
        repetition = room(repetition, k);
        presence = room(presence, k);
        frequency = room(frequency, k);
        seed = k < seed.length ? seed : Arrays.copyOf(seed, seed.length * 2);
        topLogProbs = room(topLogProbs, k);
        maskIndex = room(maskIndex, k);
        biasStart = room(biasStart, k + 1);
        sampleRow[k] = row;
        temperature[k] = 0;
        topK[k] = 0;
        topP[k] = 1;
        minP[k] = 0;
        repetition[k] = 1;
        presence[k] = 0;
        frequency[k] = 0;
        seed[k] = 0;
        topLogProbs[k] = -1;
        maskIndex[k] = -1;
        biasStart[k + 1] = biasCount;
        return k;
    }

    /** Adds to a token's logit for the sample added last; negative infinity forbids the token. */
    public void addBias(int tokenId, float value) {
        int i = biasCount++;
        biasIds = room(biasIds, i);
        biasValues = room(biasValues, i);
        biasIds[i] = tokenId;
        biasValues[i] = value;
        biasStart[sampleCount] = biasCount;
    }

    /** Adds a move and returns its index; the fields that its kind does not use stay 0. */
    public int addMove(int kind, int slot) {
        int m = moveCount++;
        moveKind = room(moveKind, m);
        moveSlot = room(moveSlot, m);
        moveFirst = room(moveFirst, m);
        movePageCount = room(movePageCount, m);
        moveA = room(moveA, m);
        moveB = room(moveB, m);
        moveHandle = m < moveHandle.length ? moveHandle : Arrays.copyOf(moveHandle, moveHandle.length * 2);
        moveScale = room(moveScale, m);
        moveKind[m] = kind;
        moveSlot[m] = slot;
        moveFirst[m] = movePageRefCount;
        movePageCount[m] = 0;
        moveA[m] = 0;
        moveB[m] = 0;
        moveHandle[m] = 0;
        moveScale[m] = 1;
        return m;
    }

    /** Adds a page to the move added last. */
    public void addMovePage(int page) {
        movePages = room(movePages, movePageRefCount);
        movePages[movePageRefCount++] = page;
        movePageCount[moveCount - 1]++;
    }

    private static int[] room(int[] array, int index) {
        return index < array.length ? array : Arrays.copyOf(array, Math.max(index + 1, array.length * 2));
    }

    private static float[] room(float[] array, int index) {
        return index < array.length ? array : Arrays.copyOf(array, Math.max(index + 1, array.length * 2));
    }
}
