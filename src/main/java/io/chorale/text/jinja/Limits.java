package io.chorale.text.jinja;

/**
 * What a template may cost at most.
 *
 * @param templateCharsMax length of the template's source
 * @param nestingMax nesting of expressions, statements and macro calls, in the source and while rendering; chosen so
 *     that the deepest rendering fits a stack of 512 KiB
 * @param stepsMax expressions and statements evaluated, list items made
 * @param charsMax characters written, copied or searched
 */
public record Limits(int templateCharsMax, int nestingMax, long stepsMax, long charsMax) {
    /** Room for conversations of ten thousand messages and millions of characters; a second or two at worst. */
    public static final Limits DEFAULT = new Limits(1 << 20, 200, 4_000_000, 64L << 20);
}
