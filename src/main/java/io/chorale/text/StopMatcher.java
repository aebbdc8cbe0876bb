package io.chorale.text;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Finds stop strings in a text that arrives in pieces, and holds back what may become one.
 *
 * <p>The first stop string to end wins; of several that end at the same character, the longest. So the outcome does not
 * depend on how the text was cut into pieces. Every stop string has its own Knuth-Morris-Pratt automaton: few and short
 * as they are, that is as fast as one automaton for all.
 */
public final class StopMatcher {
    /** Most stop strings of one request. OpenAI documents 4; agents send more. */
    public static final int STOP_STRINGS_MAX = 16;

    /** Longest stop string. */
    public static final int STOP_CHARS_MAX = 1024;

    /**
     * What may be sent on.
     *
     * @param text text that no stop string can begin in any more
     * @param stop the stop string that was found; nothing follows it
     */
    public record Emission(String text, Optional<String> stop) {}

    private final List<Pattern> patterns;
    private final boolean includeStop;
    /** Text that may be the beginning of a stop string. */
    private final StringBuilder held = new StringBuilder();

    private boolean stopped;

    /**
     * @param includeStop whether the stop string found is emitted too
     * @throws IllegalArgumentException naming the bound or the stop string that is not acceptable
     */
    public StopMatcher(List<String> stops, boolean includeStop) {
        if (stops.size() > STOP_STRINGS_MAX) {
            throw new IllegalArgumentException(
                    "at most " + STOP_STRINGS_MAX + " stop strings are allowed, not " + stops.size());
        }
        List<Pattern> automata = new ArrayList<>();
        for (String stop : stops) {
            if (stop.isEmpty()) {
                throw new IllegalArgumentException("a stop string must not be empty");
            }
            if (stop.length() > STOP_CHARS_MAX) {
                throw new IllegalArgumentException("a stop string must not be longer than " + STOP_CHARS_MAX
                        + " characters, not " + stop.length());
            }
            automata.add(new Pattern(stop));
        }
        this.patterns = List.copyOf(automata);
        this.includeStop = includeStop;
    }

    /** Takes the next piece of text. */
    public Emission feed(String piece) {
        if (stopped) {
            return new Emission("", Optional.empty());
        }
        for (int i = 0; i < piece.length(); i++) {
            char c = piece.charAt(i);
            held.append(c);
            Optional<String> found = advance(c);
            if (found.isPresent()) {
                stopped = true;
                held.setLength(held.length() - (includeStop ? 0 : found.get().length()));
                return new Emission(take(held.length()), found);
            }
        }
        int partial = 0;
        for (Pattern pattern : patterns) {
            partial = Math.max(partial, pattern.matched);
        }
        return new Emission(take(held.length() - partial), Optional.empty());
    }

    /** What was held back, now that the text has ended without a stop string. */
    public String finish() {
        stopped = true;
        return take(held.length());
    }

    private Optional<String> advance(char c) {
        Optional<String> longest = Optional.empty();
        for (Pattern pattern : patterns) {
            if (pattern.advance(c) && longest.map(String::length).orElse(0) < pattern.text.length()) {
                longest = Optional.of(pattern.text);
            }
        }
        return longest;
    }

    private String take(int length) {
        String taken = held.substring(0, length);
        held.delete(0, length);
        return taken;
    }

    /** One stop string, and how much of it the text ends with. */
    private static final class Pattern {
        private final String text;
        /** For every prefix of the text, by length: the longest shorter prefix that it ends with. */
        private final int[] fallback;

        private int matched;

        Pattern(String text) {
            this.text = text;
            this.fallback = new int[text.length() + 1];
            for (int length = 2; length <= text.length(); length++) {
                fallback[length] = extended(fallback[length - 1], text.charAt(length - 1));
            }
        }

        boolean advance(char c) {
            matched = extended(matched, c);
            return matched == text.length();
        }

        private int extended(int prefix, char c) {
            int length = prefix;
            while (length > 0 && (length == text.length() || text.charAt(length) != c)) {
                length = fallback[length];
            }
            return text.charAt(length) == c ? length + 1 : length;
        }
    }
}
