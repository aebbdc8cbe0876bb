package io.chorale.simulate;

/**
 * Kernels for prompts that read an adapter once for a tile of rows, and not for each row. Every sequence has as many tiles as
 * the longest one: those beyond its end read, too.
 *
 * @param rows of a tile
 * @param longestMin rows that the longest sequence of a step must have for them to be used
 * @param rankMin that the largest rank must have
 * @param sequencesMin that there must be
 */
public record PromptTiles(int rows, int longestMin, int rankMin, int sequencesMin) {
    /** No such kernels. */
    public static final PromptTiles NONE = new PromptTiles(1, Integer.MAX_VALUE, 0, 0);

    boolean used(int sequences, int longest, int largestRank) {
        return sequences >= sequencesMin && longest >= longestMin && largestRank >= rankMin;
    }

    int of(int longest) {
        return (longest + rows - 1) / rows;
    }
}
