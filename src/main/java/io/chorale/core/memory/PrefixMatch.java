package io.chorale.core.memory;

/** What a {@link PrefixCache} has of a sequence, as far as was looked: looking again goes on from here. */
public final class PrefixMatch {
    /** Pages found. */
    int pages;
    /** The last of them. */
    int last = -1;
    /** Which entry it was: another number means that it has gone, and what came after it with it. */
    long entry;

    void clear() {
        pages = 0;
        last = -1;
    }
}
