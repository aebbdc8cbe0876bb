package io.chorale.core.sched;

import io.chorale.core.memory.AdapterResidency;
import io.chorale.core.memory.DeviceAdapter;
import io.chorale.core.memory.PagePool;
import io.chorale.core.memory.PageUse;
import io.chorale.core.memory.Residents;
import io.chorale.core.policy.EvictionPolicy;
import java.util.function.ToDoubleFunction;

/**
 * The room of the step being planned: its rows, and the pages and slots that it may take, now or soon. Room is made in
 * advance: an evicted adapter's pages come back when its drop has ended, pages of sequences at their limit when their last
 * token has been drawn. A sequence waits for pages that are certain to come (they are <em>owed</em> to it) before anybody
 * is preempted.
 */
final class StepRoom {
    /** Uploads that find room without waiting for an eviction, one after another. */
    private static final int UPLOADS_AHEAD = 2;

    /** Room is kept for them for so long after an upload: where none come, nothing is evicted for them. */
    private static final long AHEAD_NANOS = 2_000_000_000L;

    /** At most this part of the pool, or of the slots, is kept free. */
    private static final int AHEAD_PART = 8;

    private final SchedulerLimits limits;
    private final EvictionPolicy eviction;
    private final Ledger ledger;
    private final PagePool pool;
    private final AdapterResidency residency;
    private final ToDoubleFunction<DeviceAdapter> keepScore;

    StepRecord step;
    long nowNanos;
    int rowsLeft;
    int pagesOwed;
    /** Sequences that have a place in it: those that merged steps hold back have none. */
    int placesTaken;

    /** Pages of sequences that wait for their last token only. */
    int pagesEnding;

    private int aheadPages;
    private long aheadUntilNanos;
    private Residents residents = new Residents(0, 0, 0);

    StepRoom(SchedulerLimits limits, EvictionPolicy eviction, Ledger ledger, StepRecord first) {
        this.limits = limits;
        this.eviction = eviction;
        this.ledger = ledger;
        pool = ledger.pool;
        residency = ledger.residency;
        keepScore = adapter -> eviction.keepScore(adapter, residents);
        step = first;
    }

    void open(StepRecord record, long now) {
        step = record;
        nowNanos = now;
        rowsLeft = limits.stepTokensMax();
        pagesOwed = 0;
        placesTaken = 0;
        pagesEnding = 0;
    }

    int pagesFreeSoon() {
        return pool.takeable() + pool.count(PageUse.QUARANTINED) + residency.drainingPages() + pagesEnding;
    }

    /** Evicts idle adapters until the pages owed, and these, are free or sure to become free. False: they cannot be. */
    boolean pagesCome(int pages) {
        int missing = pagesOwed + pages - pagesFreeSoon();
        if (missing > 0 && missing > residency.evictablePages()) {
            return ledger.weights.stepAside(step);
        }
        while (pagesFreeSoon() < pagesOwed + pages) {
            dropLeastWorthKeeping();
        }
        return true;
    }

    void dropLeastWorthKeeping() {
        residents = residency.residents(nowNanos);
        DeviceAdapter idle = residency.leastWorthKeeping(keepScore);
        if (idle == null) {
            throw new IllegalStateException("no adapter is idle although some were counted");
        }
        drop(idle);
    }

    /** A request begins whose adapter had to be uploaded; together they take so many pages. */
    void uploadedFor(int pages) {
        boolean expired = nowNanos >= aheadUntilNanos;
        aheadPages = Math.max(expired ? 0 : aheadPages, UPLOADS_AHEAD * pages);
        aheadUntilNanos = nowNanos + AHEAD_NANOS;
    }

    /**
     * Evicts idle adapters ahead of need while others come. An eviction takes effect when its step has ended, and steps
     * overlap: who finds room begins with the step that is being planned, who has to wait for it two steps later.
     */
    void evictAhead() {
        while (residency.evictableCount() > 0 && !isAhead(0, 0)) {
            dropLeastWorthKeeping();
        }
    }

    /** Whether the room that is kept free would still be there if so much of it were taken: nothing is evicted instead. */
    boolean isAhead(int pagesTaken, int slotsTaken) {
        if (nowNanos >= aheadUntilNanos) {
            return true;
        }
        int pages = Math.min(aheadPages + ledger.running.size(), pool.geometry().pageCount() / AHEAD_PART);
        int slots = Math.min(UPLOADS_AHEAD, residency.slotsMax() / AHEAD_PART);
        return pagesFreeSoon() - pagesOwed - pagesTaken >= pages
                && residency.freeSlotCount() + residency.drainingCount() - slotsTaken >= slots;
    }

    /** What the host has forgotten goes as soon as nobody uses it, and everything idle where nothing is kept. */
    void dropUnwanted() {
        for (int i = residency.goneCount(); i > 0; i--) {
            DeviceAdapter forgotten = residency.goneAndEvictable();
            if (forgotten == null) {
                break;
            }
            drop(forgotten);
        }
        for (int slot = 0; eviction.keepsNothing() && slot < residency.slotsMax(); slot++) {
            DeviceAdapter adapter = residency.at(slot);
            if (adapter != null && adapter.evictable()) {
                drop(adapter);
            }
        }
    }

    private void drop(DeviceAdapter adapter) {
        step.plan.addMove(StepPlan.MOVE_DROP, adapter.slot());
        step.drops.add(adapter);
        residency.drain(adapter);
    }

    void load(DeviceAdapter adapter) {
        residency.load(adapter, nowNanos);
        int move = step.plan.addMove(StepPlan.MOVE_LOAD, adapter.slot());
        step.plan.moveA[move] = 0;
        step.plan.moveB[move] = limits.layerGroups();
        step.plan.moveHandle[move] = adapter.handle();
        for (int i = 0; i < adapter.pages().count(); i++) {
            step.plan.addMovePage(adapter.pages().page(i));
        }
        step.loads.add(adapter);
    }

    boolean hasPlace() {
        return placesTaken < limits.sequencesMax();
    }

    void giveRows(Sequence sequence, int rows) {
        sequence.stepRows = rows;
        rowsLeft -= rows;
    }

    void takeRowsBack(Sequence sequence) {
        rowsLeft += sequence.stepRows;
        sequence.stepRows = 0;
    }

    /** Rows of a prefill that wants so many. */
    int chunk(int wanted) {
        return Math.min(Math.min(wanted, limits.prefillChunkTokens()), rowsLeft);
    }
}
