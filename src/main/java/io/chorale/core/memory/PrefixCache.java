package io.chorale.core.memory;

import io.chorale.core.model.Check;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Finds the pages in which the beginning of a sequence has been computed already. Only full pages are shared, and a full
 * page is never written again, so sharing needs no copies.
 *
 * <p>A page is known by the page before it, its own tokens and its {@link PrefixScope}; all three are compared, so a hash
 * is never trusted with an answer. Pages that begin alike are a tree: whoever holds a page holds all before it, and gives
 * back the last first, so a page leaves the pool after every page that follows it.
 *
 * <p>One entry a page of the pool, in arrays, so there is nothing else to bound. Only the tokens, most of it, are allocated as
 * the pool fills, many pages at a time: a small model on a large device has millions of pages, and never keeps most of them.
 */
public final class PrefixCache {
    private static final int NONE = -1;

    /** Pages whose tokens are allocated together. */
    private static final int BLOCK_PAGES = 1024;

    private static final int[] NOT_YET = {};

    private final PagePool pool;
    private final int pageTokens;
    private final boolean on;
    private final long seed;
    private final int[] buckets;
    private final int bucketMask;

    // Of each page that has an entry.
    private final int[] nextInBucket;
    private final long[] hashes;
    private final int[] before;
    private final int[][] tokens; // by blocks
    private final @Nullable PrefixScope[] scopes;
    private final long[] entries;

    private final int[] hashed;
    private final PageTable path = new PageTable();
    private long lastEntry;
    private int count;
    private long evictions;

    public PrefixCache(PagePool pool, PrefixCaching settings) {
        this.pool = pool;
        on = settings.on();
        seed = settings.seed();
        pageTokens = pool.geometry().pageTokens();
        hashed = new int[pageTokens];
        int pages = on ? pool.geometry().pageCount() : 0;
        buckets = new int[Math.max(1, Integer.highestOneBit(Math.max(1, pages)) * 2)];
        bucketMask = buckets.length - 1;
        Arrays.fill(buckets, NONE);
        nextInBucket = new int[pages];
        hashes = new long[pages];
        before = new int[pages];
        tokens = new int[(pages + BLOCK_PAGES - 1) / BLOCK_PAGES][];
        Arrays.fill(tokens, NOT_YET);
        scopes = new PrefixScope[pages];
        entries = new long[pages];
        pool.setKeeper(this::lose);
    }

    // ---- finding --------------------------------------------------------------------------------------------------

    /** Looks for as many pages of a beginning as there are, at most so many. Returns how many were found. */
    public int match(PrefixTokens sequence, int pagesMax, PrefixMatch match) {
        if (!on || pagesMax == 0) {
            match.clear();
            return 0;
        }
        if (isGone(match) || match.pages > pagesMax) {
            match.clear();
        }
        while (match.pages < pagesMax) {
            int page = find(sequence, match.pages, match.last);
            if (page == NONE) {
                break;
            }
            match.last = page;
            match.entry = entries[page];
            match.pages++;
        }
        return match.pages;
    }

    private boolean isGone(PrefixMatch match) {
        return match.pages > 0 && entries[match.last] != match.entry;
    }

    /** How many of the pages found have owners: those that cost nothing to share. They come before all others. */
    public int ownedPages(PrefixMatch match) {
        int owned = isGone(match) ? 0 : match.pages;
        for (int page = match.last; owned > 0 && pool.useOf(page) != PageUse.KV; page = before[page]) {
            owned--;
        }
        return owned;
    }

    /** Gives a sequence the pages that were found just now; it has no others yet. */
    public void share(PrefixMatch match, PageTable into) {
        path.clear();
        for (int page = match.last; path.count() < match.pages; page = before[page]) {
            path.add(page);
        }
        for (int i = path.count() - 1; i >= 0; i--) {
            pool.share(path.page(i), into);
        }
    }

    private int find(PrefixTokens sequence, int index, int previous) {
        PrefixScope scope = sequence.scopeBefore((index + 1) * pageTokens);
        return find(previous, scope, hash(sequence, index, previous, scope));
    }

    /** The page that has the tokens that were hashed last, or -1. */
    private int find(int previous, PrefixScope scope, long hash) {
        int page = buckets[(int) hash & bucketMask];
        while (page != NONE && !isEntry(page, previous, scope, hash)) {
            page = nextInBucket[page];
        }
        return page;
    }

    private boolean isEntry(int page, int previous, PrefixScope scope, long hash) {
        int from = page % BLOCK_PAGES * pageTokens;
        return hashes[page] == hash
                && before[page] == previous
                && scope.equals(scopes[page])
                && Arrays.equals(tokens[page / BLOCK_PAGES], from, from + pageTokens, hashed, 0, pageTokens);
    }

    private long hash(PrefixTokens sequence, int index, int previous, PrefixScope scope) {
        sequence.copyTokens(index * pageTokens, hashed);
        long hash = mix(seed + scope.hashCode(), previous);
        for (int token : hashed) {
            hash = mix(hash, token);
        }
        return hash;
    }

    private static long mix(long hash, int value) {
        long mixed = (hash ^ value) * 0x9e3779b97f4a7c15L;
        return mixed ^ mixed >>> 29;
    }

    // ---- keeping --------------------------------------------------------------------------------------------------

    /**
     * Keeps pages {@code [from, to)} of a sequence, which are full and computed; those before {@code from} are kept already.
     * Where another sequence has computed the same in the meantime, the sequence goes on with that one's page.
     *
     * @return how many of its pages are kept now
     */
    public int keep(PrefixTokens sequence, PageTable pages, int from, int to) {
        if (!on) {
            return 0;
        }
        for (int index = from; index < to; index++) {
            int previous = index == 0 ? NONE : pages.page(index - 1);
            PrefixScope scope = sequence.scopeBefore((index + 1) * pageTokens);
            long hash = hash(sequence, index, previous, scope);
            int known = find(previous, scope, hash);
            if (known == NONE) {
                enter(pages.page(index), previous, scope, hash);
            } else {
                pool.exchange(pages, index, known);
            }
        }
        return to;
    }

    private void enter(int page, int previous, PrefixScope scope, long hash) {
        pool.keep(page);
        before[page] = previous;
        scopes[page] = scope;
        hashes[page] = hash;
        entries[page] = ++lastEntry;
        int block = page / BLOCK_PAGES;
        if (tokens[block] == NOT_YET) {
            tokens[block] = new int[Math.min(BLOCK_PAGES, scopes.length - block * BLOCK_PAGES) * pageTokens];
        }
        System.arraycopy(hashed, 0, tokens[block], page % BLOCK_PAGES * pageTokens, pageTokens);
        int bucket = (int) hash & bucketMask;
        nextInBucket[page] = buckets[bucket];
        buckets[bucket] = page;
        count++;
    }

    private void lose(int page) {
        evictions++;
        remove(page);
    }

    private void remove(int page) {
        int bucket = (int) hashes[page] & bucketMask;
        if (buckets[bucket] == page) {
            buckets[bucket] = nextInBucket[page];
        } else {
            int at = buckets[bucket];
            while (nextInBucket[at] != page) {
                at = nextInBucket[at];
            }
            nextInBucket[at] = nextInBucket[page];
        }
        scopes[page] = null;
        entries[page] = 0;
        count--;
    }

    /** Forgets everything in which a version acts; nobody uses it any more. */
    public void forget(int version) {
        for (int page = 0; count > 0 && page < scopes.length; page++) {
            PrefixScope scope = scopes[page];
            if (scope != null && scope.has(version)) {
                Check.state(pool.useOf(page) != PageUse.KV, () -> "pages of version " + version + " are in use");
                remove(page);
                pool.release(page);
            }
        }
    }

    // ---- looking at it --------------------------------------------------------------------------------------------

    /** Whether a page may have several owners. */
    public boolean has(int page) {
        return on && scopes[page] != null;
    }

    /** Cached pages that were wanted for something else. */
    public long evictions() {
        return evictions;
    }

    /** Checks the entries against each other and against the pool. */
    public void verify() {
        int listed = 0;
        for (int bucket = 0; bucket < buckets.length; bucket++) {
            for (int page = buckets[bucket]; page != NONE; page = nextInBucket[page]) {
                if (scopes[page] == null || ((int) hashes[page] & bucketMask) != bucket) {
                    throw new IllegalStateException("page " + page + " is listed and has no entry");
                }
                verify(page);
                listed++;
            }
        }
        int found = listed;
        Check.state(found == count, () -> found + " pages are found, " + count + " are kept");
    }

    private void verify(int page) {
        PageUse use = pool.useOf(page);
        boolean kept = use == PageUse.KV || use == PageUse.CACHED || use == PageUse.QUARANTINED;
        if (!kept) {
            throw new IllegalStateException("page " + page + " has an entry and is " + use);
        }
        int previous = before[page];
        if (previous != NONE) {
            if (scopes[previous] == null) {
                throw new IllegalStateException("page " + previous + " has gone before page " + page);
            }
            if (use == PageUse.KV && pool.useOf(previous) != PageUse.KV) {
                throw new IllegalStateException(
                        "page " + page + " is in use and page " + previous + " before it is not");
            }
        }
    }
}
