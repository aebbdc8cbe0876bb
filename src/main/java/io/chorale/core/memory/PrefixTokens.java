package io.chorale.core.memory;

/** The tokens of a sequence as its pages hold them. */
public interface PrefixTokens {
    /** Writes the tokens from a position on to the whole of an array. */
    void copyTokens(int from, int[] into);

    /** Among whom a page is shared whose last token is the one before {@code end}. */
    PrefixScope scopeBefore(int end);
}
