package io.chorale.core.memory;

/**
 * Pages in the order in which they were added, linked through arrays that several chains share: a page is in one of them at
 * most.
 */
final class PageChain {
    private static final int NONE = -1;

    private final int[] next;
    private final int[] previous;
    private int first = NONE;
    private int last = NONE;

    /** @param next and {@code previous}: of each page its neighbours */
    PageChain(int[] next, int[] previous) {
        this.next = next;
        this.previous = previous;
    }

    /** The page that was added before all others, or -1. */
    int first() {
        return first;
    }

    /** The page that was added after this one, or -1. */
    int after(int page) {
        return next[page];
    }

    void addLast(int page) {
        previous[page] = last;
        next[page] = NONE;
        if (last == NONE) {
            first = page;
        } else {
            next[last] = page;
        }
        last = page;
    }

    void remove(int page) {
        int before = previous[page];
        int after = next[page];
        if (before == NONE) {
            first = after;
        } else {
            next[before] = after;
        }
        if (after == NONE) {
            last = before;
        } else {
            previous[after] = before;
        }
    }
}
