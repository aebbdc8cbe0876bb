package io.chorale.text;

import java.util.Arrays;

/**
 * Turns a stream of token ids into a stream of text whose pieces join to what decoding all ids at once would give.
 *
 * <p>A token's text depends on its neighbours: a character may be spread over tokens, and the first token of a text may
 * lose a space. So a window of the last tokens is decoded with each new one, and what it adds is emitted, except for
 * what later tokens may still change: a U+FFFD at the end stands for bytes that are not a character yet, and a run of
 * single-byte tokens decodes as a whole once it has ended.
 *
 * <pre>
 *   window:  [ context ............ | new ]     ids since the last good place to begin
 *   text:    [ emitted ....... | delta | U+FFFD? ]
 * </pre>
 *
 * <p>A run of more than {@value #BYTE_RUN_MAX} single bytes is emitted in parts, lest text in a script that the
 * vocabulary does not hold would wait for its end; only there may malformed bytes give other replacement characters
 * than decoding at once would.
 */
public final class IncrementalDetokenizer {
    static final int BYTE_RUN_MAX = 48;

    /** The window is cut back once it is longer than this. */
    private static final int WINDOW_TOKENS = 12;

    private static final char REPLACEMENT = '\uFFFD';

    private final Tokenizer tokenizer;
    private final boolean skipSpecialTokens;
    private int[] window = new int[2 * WINDOW_TOKENS];
    private int windowCount;
    /** How much of the window's text has been emitted. */
    private int emittedChars;

    /** Single-byte tokens at the end of the window whose run has not ended. */
    private int byteRun;

    IncrementalDetokenizer(Tokenizer tokenizer, boolean skipSpecialTokens) {
        this.tokenizer = tokenizer;
        this.skipSpecialTokens = skipSpecialTokens;
    }

    /** The text that this token completes, often empty. */
    public String push(int id) {
        boolean skipped = skipSpecialTokens && tokenizer.isSpecial(id);
        if (skipped || id < 0 || id >= tokenizer.vocabularySize()) {
            // Decoding at once leaves it out before it looks at neighbours.
            return "";
        }
        if (windowCount == window.length) {
            window = Arrays.copyOf(window, 2 * windowCount);
        }
        window[windowCount++] = id;
        if (tokenizer.isByte(id)) {
            byteRun++;
            // A run that begins the text has no context to keep in its place.
            return byteRun < BYTE_RUN_MAX || byteRun == windowCount ? "" : breakRun();
        }
        byteRun = 0;
        String text = decode(0, windowCount);
        int pending = !text.isEmpty() && text.charAt(text.length() - 1) == REPLACEMENT ? 1 : 0;
        String delta = emit(text, text.length() - pending);
        if (windowCount > WINDOW_TOKENS) {
            cutBack(text, pending);
        }
        return delta;
    }

    /** What was held back, now that no token follows. */
    public String finish() {
        String text = decode(0, windowCount);
        String delta = emit(text, text.length());
        windowCount = 0;
        emittedChars = 0;
        byteRun = 0;
        return delta;
    }

    private String emit(String text, int stableChars) {
        if (stableChars <= emittedChars) {
            return "";
        }
        String delta = text.substring(emittedChars, stableChars);
        emittedChars = stableChars;
        return delta;
    }

    /** Emits the whole characters of a long run of bytes and forgets them, keeping the context before the run. */
    private String breakRun() {
        int start = windowCount - byteRun;
        String context = decode(0, start);
        // The run may end within a character, of which at most three bytes are there.
        int kept = 0;
        String text = decode(0, windowCount);
        while (kept < 3 && text.indexOf(REPLACEMENT, context.length()) >= 0) {
            kept++;
            text = decode(0, windowCount - kept);
        }
        if (text.indexOf(REPLACEMENT, context.length()) >= 0) {
            kept = 0;
            text = decode(0, windowCount);
        }
        String delta = emit(text, text.length());
        emittedChars = context.length();
        System.arraycopy(window, windowCount - kept, window, start, kept);
        windowCount = start + kept;
        byteRun = kept;
        return delta;
    }

    /**
     * Drops tokens from the front of the window, provided that the rest decodes, by itself, to the end of the text: it
     * does not where it begins within a character, or loses its first space. Of a pending character at most three bytes
     * are there, so four tokens hold all of them.
     */
    private void cutBack(String text, int pending) {
        int last = windowCount - (pending == 0 ? 1 : 4);
        for (int start = last; start >= windowCount - WINDOW_TOKENS / 2; start--) {
            String rest = decode(start, windowCount);
            if (rest.length() > pending && text.endsWith(rest)) {
                System.arraycopy(window, start, window, 0, windowCount - start);
                windowCount -= start;
                emittedChars = rest.length() - pending;
                return;
            }
        }
    }

    private String decode(int start, int end) {
        return tokenizer.decode(Arrays.copyOfRange(window, start, end), skipSpecialTokens);
    }
}
