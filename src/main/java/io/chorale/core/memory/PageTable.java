package io.chorale.core.memory;

import java.util.Arrays;

/**
 * The pages of one owner in order: of a sequence, page i holds tokens {@code [i*pageTokens, (i+1)*pageTokens)}; of an
 * adapter, its parts. Only the {@link PagePool} adds and removes.
 */
public final class PageTable {
    private static final int[] EMPTY = {};

    private int[] pages = EMPTY;
    private int count;

    public int count() {
        return count;
    }

    public int page(int index) {
        return pages[index];
    }

    /** The pages themselves, for bulk copies: valid up to {@link #count}, never to be written. */
    public int[] array() {
        return pages;
    }

    /** Sees to it that so many pages can be added without an allocation. */
    public void reserve(int pagesMax) {
        if (pagesMax > pages.length) {
            pages = Arrays.copyOf(pages, pagesMax);
        }
    }

    void add(int page) {
        if (count == pages.length) {
            pages = Arrays.copyOf(pages, Math.max(4, count * 2));
        }
        pages[count++] = page;
    }

    void set(int index, int page) {
        pages[index] = page;
    }

    void clear() {
        count = 0;
        pages = EMPTY;
    }
}
