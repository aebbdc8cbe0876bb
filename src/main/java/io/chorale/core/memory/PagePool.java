package io.chorale.core.memory;

import io.chorale.core.model.Check;
import java.util.Arrays;

/**
 * The ledger of the device's pages: one free list from which KV cache and adapters both take, with a reference count a
 * page so that a page may have several owners.
 *
 * <p>Steps in flight may still read and write pages that their owner has given back. Such pages are quarantined: they
 * become free when the last step begun before they were given back has been committed. {@link #begun} and {@link
 * #committed} say which steps are in flight.
 *
 * <p>A page that is <em>kept</em> for what it holds becomes cached instead of free, and can have owners again at any time.
 * Cached pages are as good as free: they are taken when no page is free, the one given back first before all others.
 */
public final class PagePool {
    /** Is told when a kept page is taken for something else, and what it holds is lost. */
    public interface Keeper {
        void lost(int page);
    }

    private final PoolGeometry geometry;
    private final PageUse[] use;
    private final int[] references;
    private final boolean[] kept;
    /** When a quarantined page was given back, as the last step begun then. */
    private final long[] givenBackStep;

    private int freeCount;
    private int kvCount;
    private int adapterCount;
    private int quarantinedCount;
    private int cachedCount;
    /** Free pages, a stack: the page given back last is taken first. */
    private final int[] free;

    /** In the order in which they were given back; steps ascend. */
    private final PageChain quarantine;

    private final PageChain cached;
    private Keeper keeper = page -> {};

    private long lastBegun = -1;
    private long lastCommitted = -1;

    public PagePool(PoolGeometry geometry) {
        int pageCount = geometry.pageCount();
        this.geometry = geometry;
        use = new PageUse[pageCount];
        references = new int[pageCount];
        kept = new boolean[pageCount];
        givenBackStep = new long[pageCount];
        free = new int[pageCount];
        int[] next = new int[pageCount];
        int[] previous = new int[pageCount];
        quarantine = new PageChain(next, previous);
        cached = new PageChain(next, previous);
        Arrays.fill(use, PageUse.FREE);
        for (int i = 0; i < pageCount; i++) {
            free[i] = pageCount - 1 - i;
        }
        freeCount = pageCount;
    }

    public PoolGeometry geometry() {
        return geometry;
    }

    public int count(PageUse kind) {
        return switch (kind) {
            case FREE -> freeCount;
            case KV -> kvCount;
            case ADAPTER -> adapterCount;
            case QUARANTINED -> quarantinedCount;
            case CACHED -> cachedCount;
        };
    }

    /** Pages that can be taken now: those that are free, and those that are only cached. */
    public int takeable() {
        return freeCount + cachedCount;
    }

    public PageUse useOf(int page) {
        return use[page];
    }

    /** How many of an owner's pages nobody shares: what comes free when they are given back. */
    public int ownedAlone(PageTable table) {
        int alone = 0;
        for (int i = 0; i < table.count(); i++) {
            alone += references[table.page(i)] == 1 ? 1 : 0;
        }
        return alone;
    }

    /** Owners of a page. */
    public int references(int page) {
        return references[page];
    }

    /** Gives pages to an owner, cached ones when none is free. The caller has asked {@link #takeable} before. */
    public void take(PageUse kind, int pages, PageTable into) {
        if (pages > takeable()) {
            throw new IllegalStateException(pages + " pages wanted, " + takeable() + " free");
        }
        while (freeCount < pages) {
            int page = cached.first();
            keeper.lost(page);
            release(page);
        }
        for (int i = 0; i < pages; i++) {
            int page = free[freeCount - 1];
            move(page, PageUse.FREE, kind);
            references[page] = 1;
            into.add(page);
        }
    }

    /** Gives a page one more owner; a kept page may have none. */
    public void share(int page, PageTable into) {
        own(page);
        into.add(page);
    }

    /** Gives an owner another page for one of its own, which it gives back. */
    public void exchange(PageTable table, int index, int page) {
        own(page);
        giveBack(table.page(index));
        table.set(index, page);
    }

    private void own(int page) {
        if (references[page] == 0) {
            if (!kept[page]) {
                throw new IllegalStateException("page " + page + " has no owner to share with");
            }
            (use[page] == PageUse.CACHED ? cached : quarantine).remove(page);
            move(page, use[page], PageUse.KV);
        }
        references[page]++;
    }

    /**
     * Takes an owner's pages back; those without another owner become free, or quarantined while a step is in flight. The
     * last comes first, so that of cached pages the end of a sequence is lost before its beginning.
     */
    public void giveBack(PageTable table) {
        for (int i = table.count() - 1; i >= 0; i--) {
            giveBack(table.page(i));
        }
        table.clear();
    }

    private void giveBack(int page) {
        if (references[page] == 0) {
            throw new IllegalStateException("page " + page + " is given back twice");
        }
        if (--references[page] > 0) {
            return;
        }
        if (lastBegun > lastCommitted) {
            quarantine.addLast(page);
            givenBackStep[page] = lastBegun;
            move(page, use[page], PageUse.QUARANTINED);
        } else {
            putAway(page);
        }
    }

    // ---- pages that are kept --------------------------------------------------------------------------------------

    /** Who is told of kept pages that are lost. */
    public void setKeeper(Keeper other) {
        keeper = other;
    }

    /** From now on a KV page stays when its owners have given it back. */
    public void keep(int page) {
        if (use[page] != PageUse.KV) {
            throw new IllegalStateException("page " + page + " is " + use[page] + " and cannot be kept");
        }
        kept[page] = true;
    }

    /** What a page holds is not worth keeping any more. */
    public void release(int page) {
        if (!kept[page]) {
            throw new IllegalStateException("page " + page + " is not kept");
        }
        kept[page] = false;
        if (use[page] == PageUse.CACHED) {
            cached.remove(page);
            putAway(page);
        }
    }

    // ---- steps in flight ------------------------------------------------------------------------------------------

    /** A step is in flight from now on. */
    public void begun(long stepId) {
        if (stepId <= lastBegun) {
            throw new IllegalStateException("step " + stepId + " begun after step " + lastBegun);
        }
        lastBegun = stepId;
    }

    /** The step has ended, and with it every one before. */
    public void committed(long stepId) {
        lastCommitted = stepId;
        for (int page = quarantine.first(); page >= 0 && givenBackStep[page] <= stepId; page = quarantine.first()) {
            quarantine.remove(page);
            putAway(page);
        }
    }

    private void putAway(int page) {
        if (kept[page]) {
            cached.addLast(page);
            move(page, use[page], PageUse.CACHED);
        } else {
            free[freeCount] = page;
            move(page, use[page], PageUse.FREE);
        }
    }

    private void move(int page, PageUse from, PageUse to) {
        use[page] = to;
        count(from, -1);
        count(to, 1);
    }

    private void count(PageUse kind, int change) {
        switch (kind) {
            case FREE -> freeCount += change;
            case KV -> kvCount += change;
            case ADAPTER -> adapterCount += change;
            case QUARANTINED -> quarantinedCount += change;
            case CACHED -> cachedCount += change;
        }
    }

    /**
     * Checks the whole ledger against itself. A small model on large GPUs has millions of pages, and requests may come
     * meanwhile: nothing is made for a page that is as it should be.
     */
    public void verify() {
        for (PageUse kind : PageUse.values()) {
            int seen = seen(kind);
            Check.state(seen == count(kind), () -> seen + " pages are " + kind + ", counted were " + count(kind));
        }
        for (int page = 0; page < use.length; page++) {
            PageUse its = use[page];
            boolean owned = its == PageUse.KV || its == PageUse.ADAPTER;
            if (owned != references[page] > 0) {
                throw broken(page, "is " + its + " with " + references[page] + " owners");
            }
            if (kept[page] && (its == PageUse.FREE || its == PageUse.ADAPTER)) {
                throw broken(page, "is kept but " + its);
            }
        }
        boolean[] listed = new boolean[use.length];
        for (int i = 0; i < freeCount; i++) {
            check(free[i], PageUse.FREE, listed);
        }
        int quarantined = 0;
        for (int page = quarantine.first(); page >= 0; page = quarantine.after(page), quarantined++) {
            check(page, PageUse.QUARANTINED, listed);
            if (givenBackStep[page] <= lastCommitted) {
                throw broken(page, "is quarantined too long");
            }
        }
        int reclaimable = 0;
        for (int page = cached.first(); page >= 0; page = cached.after(page), reclaimable++) {
            check(page, PageUse.CACHED, listed);
            if (!kept[page]) {
                throw broken(page, "is cached but not kept");
            }
        }
        boolean whole = quarantined == quarantinedCount && reclaimable == cachedCount;
        Check.state(whole, () -> "a page is lost from the chains");
    }

    private int seen(PageUse kind) {
        int seen = 0;
        for (PageUse its : use) {
            seen += its == kind ? 1 : 0;
        }
        return seen;
    }

    private void check(int page, PageUse expected, boolean[] listed) {
        if (use[page] != expected) {
            throw broken(page, "is listed as " + expected + " but is " + use[page]);
        }
        if (listed[page]) {
            throw broken(page, "is listed twice");
        }
        listed[page] = true;
    }

    private static IllegalStateException broken(int page, String how) {
        return new IllegalStateException("page " + page + " " + how);
    }
}
