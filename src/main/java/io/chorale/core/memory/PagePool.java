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
 */
public final class PagePool {
    private final PoolGeometry geometry;
    private final PageUse[] use;
    private final int[] references;
    private int freeCount;
    private int kvCount;
    private int adapterCount;
    private int quarantinedCount;
    /** Free pages, a stack: the page given back last is taken first. */
    private final int[] free;

    /** Quarantined pages, a ring in the order in which they were given back; steps ascend. */
    private final int[] quarantine;

    private final long[] quarantineStep;
    private int quarantineHead;

    private long lastBegun = -1;
    private long lastCommitted = -1;

    public PagePool(PoolGeometry geometry) {
        int pageCount = geometry.pageCount();
        this.geometry = geometry;
        use = new PageUse[pageCount];
        references = new int[pageCount];
        free = new int[pageCount];
        quarantine = new int[pageCount];
        quarantineStep = new long[pageCount];
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
        };
    }

    public int freeCount() {
        return freeCount;
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

    /** Moves free pages to an owner's table. The caller has asked {@link #freeCount} before. */
    public void take(PageUse kind, int pages, PageTable into) {
        if (pages > freeCount) {
            throw new IllegalStateException(pages + " pages wanted, " + freeCount + " free");
        }
        for (int i = 0; i < pages; i++) {
            int page = free[freeCount - 1];
            move(page, PageUse.FREE, kind);
            references[page] = 1;
            into.add(page);
        }
    }

    /** Gives a page one more owner. */
    public void share(int page, PageTable into) {
        if (references[page] == 0) {
            throw new IllegalStateException("page " + page + " has no owner to share with");
        }
        references[page]++;
        into.add(page);
    }

    /** Takes an owner's pages back; those without another owner become free, or quarantined while a step is in flight. */
    public void giveBack(PageTable table) {
        boolean inFlight = lastBegun > lastCommitted;
        for (int i = 0; i < table.count(); i++) {
            int page = table.page(i);
            if (references[page] == 0) {
                throw new IllegalStateException("page " + page + " is given back twice");
            }
            if (--references[page] > 0) {
                continue;
            }
            if (inFlight) {
                int at = (quarantineHead + quarantinedCount) % quarantine.length;
                quarantine[at] = page;
                quarantineStep[at] = lastBegun;
                move(page, use[page], PageUse.QUARANTINED);
            } else {
                putFree(page);
            }
        }
        table.clear();
    }

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
        while (quarantinedCount > 0 && quarantineStep[quarantineHead] <= stepId) {
            int page = quarantine[quarantineHead];
            quarantineHead = (quarantineHead + 1) % quarantine.length;
            putFree(page);
        }
    }

    private void putFree(int page) {
        free[freeCount] = page;
        move(page, use[page], PageUse.FREE);
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
        }
    }

    /** Checks the whole ledger against itself. */
    public void verify() {
        for (PageUse kind : PageUse.values()) {
            long seen = Arrays.stream(use).filter(its -> its == kind).count();
            Check.state(seen == count(kind), () -> seen + " pages are " + kind + ", counted were " + count(kind));
        }
        for (int page = 0; page < use.length; page++) {
            int at = page;
            boolean owned = use[page] == PageUse.KV || use[page] == PageUse.ADAPTER;
            Check.state(
                    owned == references[page] > 0,
                    () -> "page " + at + " is " + use[at] + " with " + references[at] + " owners");
        }
        boolean[] listed = new boolean[use.length];
        for (int i = 0; i < freeCount; i++) {
            check(free[i], PageUse.FREE, listed);
        }
        for (int i = 0; i < quarantinedCount; i++) {
            int at = (quarantineHead + i) % quarantine.length;
            check(quarantine[at], PageUse.QUARANTINED, listed);
            Check.state(
                    quarantineStep[at] > lastCommitted, () -> "page " + quarantine[at] + " is quarantined too long");
        }
    }

    private void check(int page, PageUse expected, boolean[] listed) {
        Check.state(use[page] == expected, () -> "page " + page + " is listed as " + expected + " but is " + use[page]);
        Check.state(!listed[page], () -> "page " + page + " is listed twice");
        listed[page] = true;
    }
}
