package io.chorale.engine.sim;

import java.util.Arrays;

/**
 * The contents of the pool, as far as they matter: of each page who wrote it last and what. Every access is checked, so
 * that a page in the hands of two owners, or reused while a step in flight still reads it, is found at the first touch.
 *
 * <p>A KV page remembers the model's state before its first token and after each of its tokens. States are hashes of
 * everything before, so a sequence whose pages chain from its own beginning reads exactly its own tokens.
 */
final class SimulatedPages {
    private final int pageTokens;
    /** Handle of the adapter a page belongs to; 0: KV, or nothing. */
    private final long[] adapter;

    private final int[] adapterPart;
    private final int[] filled;
    private final long[] before;
    private final long[] after;
    /** The last step that read or wrote the page. */
    private final long[] touched;

    SimulatedPages(int pageCount, int pageTokens) {
        this.pageTokens = pageTokens;
        adapter = new long[pageCount];
        adapterPart = new int[pageCount];
        filled = new int[pageCount];
        before = new long[pageCount];
        after = new long[Math.multiplyExact(pageCount, pageTokens)];
        touched = new long[pageCount];
        Arrays.fill(touched, -1);
    }

    /** An upload, which may run beside every step after {@code endedStep}. */
    void load(int page, long handle, int part, long step, long endedStep) {
        expectUnused(page, endedStep, "an upload writes");
        adapter[page] = handle;
        adapterPart[page] = part;
        filled[page] = 0;
        touched[page] = step;
    }

    void readAdapter(int page, long handle, int part, long step) {
        if (adapter[page] != handle || adapterPart[page] != part) {
            throw new PageViolation("page " + page + " should hold part " + part + " of adapter handle " + handle
                    + ", but was overwritten");
        }
        touched[page] = step;
    }

    /** Writes the token at {@code position}: the page's first token makes it the sequence's own. */
    void write(int page, int position, long stateBefore, long stateAfter, long step, long endedStep) {
        int at = position % pageTokens;
        if (at == 0) {
            expectUnused(page, endedStep, "a new owner writes");
            adapter[page] = 0;
            before[page] = stateBefore;
        } else if (adapter[page] != 0 || filled[page] != at || after[page * pageTokens + at - 1] != stateBefore) {
            throw new PageViolation("position " + position + " is written to page " + page
                    + ", which does not hold the tokens before it");
        }
        filled[page] = at + 1;
        after[page * pageTokens + at] = stateAfter;
        touched[page] = step;
    }

    /** The state after {@code tokens} tokens that begin with {@code begin}, read from a sequence's pages. */
    long read(int[] pages, int from, int tokens, long begin, long step) {
        long state = begin;
        for (int read = 0; read < tokens; read += pageTokens) {
            int page = pages[from + read / pageTokens];
            int needed = Math.min(pageTokens, tokens - read);
            if (adapter[page] != 0 || filled[page] < needed || before[page] != state) {
                throw new PageViolation("page " + page + " does not hold tokens " + read + " to " + (read + needed)
                        + " of the sequence that reads it");
            }
            state = after[page * pageTokens + needed - 1];
            touched[page] = step;
        }
        return state;
    }

    private void expectUnused(int page, long endedStep, String who) {
        if (touched[page] > endedStep) {
            throw new PageViolation(who + " page " + page + " while step " + touched[page] + " still uses it");
        }
    }

    /** A plan that reads or writes what is not its own. */
    static final class PageViolation extends IllegalStateException {
        private static final long serialVersionUID = 1;

        PageViolation(String message) {
            super(message);
        }
    }
}
