package io.chorale.core.model;

/**
 * The most likely tokens at one position, best first.
 *
 * @param ids token ids; the arrays are never changed after construction
 * @param logProbs natural logarithms, same length
 */
public record TopLogProbs(int[] ids, float[] logProbs) {
    public static final TopLogProbs NONE = new TopLogProbs(new int[0], new float[0]);

    public int size() {
        return ids.length;
    }
}
