package io.chorale.core.memory;

/** The tokens of a sequence as its pages hold them. */
public interface PrefixTokens {
    int token(int position);

    /** Among whom a page is shared whose last token is the one before {@code end}. */
    PrefixScope scopeBefore(int end);
}
