package io.chorale.text.jinja;

import java.util.Arrays;
import java.util.function.UnaryOperator;

/**
 * A string that knows which of its characters came from a message rather than from the template.
 *
 * <p>The knowledge survives concatenation, slicing, trimming and case mapping, so that the tokenizer may turn
 * {@code <|end|>} into a special token where the template wrote it and never where a user did. {@code flips} are the
 * ascending positions at which the origin changes; every text begins as the template's.
 */
public final class Text {
    static final Text EMPTY = new Text("", new int[0]);
    private static final int[] NO_FLIPS = {};
    private static final int[] FLIP_AT_START = {0};

    private final String chars;
    private final int[] flips;

    Text(String chars, int[] flips) {
        this.chars = chars;
        this.flips = flips;
    }

    static Text template(String chars) {
        return new Text(chars, NO_FLIPS);
    }

    static Text content(String chars) {
        return new Text(chars, chars.isEmpty() ? NO_FLIPS : FLIP_AT_START);
    }

    static Text of(String chars, boolean content) {
        return content ? content(chars) : template(chars);
    }

    public String chars() {
        return chars;
    }

    int length() {
        return chars.length();
    }

    boolean isEmpty() {
        return chars.isEmpty();
    }

    boolean hasContent() {
        return flips.length > 0;
    }

    /** Receives the runs of one origin, in order; none is empty. */
    @FunctionalInterface
    public interface RunConsumer {
        void accept(String chars, boolean content);
    }

    public void forEachRun(RunConsumer consumer) {
        int start = 0;
        for (int i = 0; i <= flips.length; i++) {
            int end = i < flips.length ? flips[i] : chars.length();
            if (end > start) {
                consumer.accept(chars.substring(start, end), i % 2 == 1);
            }
            start = end;
        }
    }

    /** The characters from {@code start} (inclusive) to {@code end} (exclusive). */
    Text slice(int start, int end) {
        if (start == 0 && end == chars.length()) {
            return this;
        }
        if (start >= end) {
            return EMPTY;
        }
        int first = flipsBefore(start + 1);
        int last = flipsBefore(end);
        boolean startsAsContent = first % 2 == 1;
        int[] cut = new int[last - first + (startsAsContent ? 1 : 0)];
        int next = startsAsContent ? 1 : 0;
        for (int i = first; i < last; i++) {
            cut[next++] = flips[i] - start;
        }
        return new Text(chars.substring(start, end), cut);
    }

    /** How many flips lie before {@code position}. */
    private int flipsBefore(int position) {
        int found = Arrays.binarySearch(flips, position);
        return found >= 0 ? found : -found - 1;
    }

    Text strip(boolean leading, boolean trailing) {
        int start = 0;
        int end = chars.length();
        while (leading && start < end && isSpace(chars.charAt(start))) {
            start++;
        }
        while (trailing && end > start && isSpace(chars.charAt(end - 1))) {
            end--;
        }
        return slice(start, end);
    }

    /** Maps every run of one origin by itself. */
    Text map(UnaryOperator<String> mapping, Site site) {
        TextBuilder result = site.builder();
        forEachRun((run, content) -> result.append(mapping.apply(run), content));
        return result.build();
    }

    /** White space as ECMAScript has it, which the reference strips and splits by. */
    static boolean isSpace(char c) {
        return switch (c) {
            case '\t', '\n', 0x0B, '\f', '\r', ' ', 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF ->
                true;
            default -> c >= 0x2000 && c <= 0x200A;
        };
    }

    @Override
    public String toString() {
        return chars;
    }
}
