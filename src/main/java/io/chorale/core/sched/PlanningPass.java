package io.chorale.core.sched;

import io.chorale.core.memory.AdapterResidency;
import io.chorale.core.memory.DeviceAdapter;
import io.chorale.core.memory.PagePool;
import io.chorale.core.memory.PageUse;
import io.chorale.core.memory.PeakDemand;
import io.chorale.core.model.DropReason;
import io.chorale.core.policy.MemoryRule;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ToLongFunction;

/**
 * Decides what one step does. The passes come in the order of importance: who is lost, which weights, those who run
 * (decode rows, then prefill chunks), those who wait, and uploads ahead of need. Deciding comes before writing, because
 * a sequence that runs out of pages may take the place of another.
 *
 * <p>Room is made in advance: an evicted adapter's pages come back when its drop has ended, pages of sequences at their
 * limit when their last token has been drawn. A sequence waits for pages that are certain to come (they are <em>owed</em> to it)
 * before anybody is preempted, and nobody is admitted while pages are owed.
 */
final class PlanningPass {
    /** Waiting requests looked at in one step: planning costs the same however many wait. */
    private static final int CANDIDATES_MAX = 64;

    /** Whether there is room for a waiting request. */
    private enum Fit {
        NOW,
        /** In a step or two: what makes it is under way. */
        SOON,
        /** Not before somebody who runs has ended. */
        NEVER
    }

    private final SchedulerLimits limits;
    private final SchedulerPolicies policies;
    private final Ledger ledger;
    private final PagePool pool;
    private final AdapterResidency residency;
    private final ToLongFunction<DeviceAdapter> keepScore;
    private final PeakDemand peak;
    private final List<Sequence> turns = new ArrayList<>();

    private StepRecord step;
    private long nowNanos;
    private int rowsLeft;
    private int pagesOwed;
    private int pagesEnding;
    /** Resident adapters of those for whom room is being made: not to be evicted while others are looked at. */
    private final List<DeviceAdapter> held = new ArrayList<>();

    /** For how many room is being made, and what they need in all. */
    private int promisedCount;

    private int slotsPromised;
    private int pagesPromised;

    PlanningPass(SchedulerLimits limits, SchedulerPolicies policies, Ledger ledger, StepRecord first) {
        this.limits = limits;
        this.policies = policies;
        this.ledger = ledger;
        pool = ledger.pool;
        residency = ledger.residency;
        keepScore = policies.eviction()::keepScore;
        peak = new PeakDemand(pool.geometry().pageTokens());
        step = first;
    }

    /** Decides; rows are written by the {@link PlanWriter} afterwards, moves are in the plan already. */
    void decide(StepRecord record, long now) {
        step = record;
        nowNanos = now;
        rowsLeft = limits.stepTokensMax();
        pagesOwed = 0;
        promisedCount = 0;
        slotsPromised = 0;
        pagesPromised = 0;
        abortHopeless();
        ledger.weights.choose(policies.weightMode().choose(ledger.running, now), ledger.running, step);
        dropForgotten();
        advanceRunning();
        admitWaiting();
        prefetchAdapters();
    }

    private void abortHopeless() {
        while (!ledger.deadlines.isEmpty() && ledger.deadlines.peek().score() <= nowNanos) {
            ledger.earlyAborts++;
            ledger.drop(
                    ledger.deadlines.peek(),
                    DropReason.SLO_UNREACHABLE,
                    "the first token cannot come within the time objective any more");
        }
    }

    private void dropForgotten() {
        for (int i = residency.goneCount(); i > 0; i--) {
            DeviceAdapter forgotten = residency.goneAndEvictable();
            if (forgotten == null) {
                return;
            }
            drop(forgotten);
        }
    }

    // ---- those who run --------------------------------------------------------------------------------------------

    private void advanceRunning() {
        pagesEnding = 0;
        turns.clear();
        for (int i = 0; i < ledger.running.size(); i++) {
            Sequence sequence = ledger.running.get(i);
            sequence.stepRows = 0;
            if (!sequence.wantsMore()) {
                pagesEnding += sequence.pages.count();
            } else if (!ledger.weights.bars(sequence.group)) {
                turns.add(sequence);
            }
        }
        for (int i = 0; i < turns.size(); i++) {
            Sequence sequence = turns.get(i);
            if (sequence.total() - sequence.computed == 1 && growToTotal(sequence)) {
                giveRows(sequence, 1);
            }
        }
        for (int i = 0; i < turns.size() && rowsLeft > 0; i++) {
            Sequence sequence = turns.get(i);
            int wanted = sequence.total() - sequence.computed;
            if (wanted > 1 && sequence.state == Sequence.State.RUNNING) {
                giveRows(sequence, chunk(wanted));
            }
        }
    }

    private int chunk(int wanted) {
        return Math.min(Math.min(wanted, limits.prefillChunkTokens()), rowsLeft);
    }

    private void giveRows(Sequence sequence, int rows) {
        sequence.stepRows = rows;
        rowsLeft -= rows;
    }

    /** Sees to the pages that a decode row needs. False: it sits this step out, or was preempted. */
    private boolean growToTotal(Sequence sequence) {
        if (sequence.state != Sequence.State.RUNNING) {
            return false; // preempted a moment ago
        }
        int needed = pool.geometry().pagesFor(sequence.total()) - sequence.pages.count();
        while (needed > pool.freeCount()) {
            if (roomComes(needed)) {
                pagesOwed += needed;
                return false;
            }
            Sequence victim = whoYields();
            rowsLeft += victim.stepRows;
            ledger.preempt(victim);
            if (victim == sequence) {
                return false;
            }
        }
        pool.take(PageUse.KV, needed, sequence.pages);
        return true;
    }

    /** Evicts idle adapters until the pages owed, and these, are free or sure to become free. False: they cannot be. */
    private boolean roomComes(int pages) {
        int missing = pagesOwed + pages - pagesFreeSoon();
        if (missing > 0 && missing > residency.evictablePages()) {
            return ledger.weights.stepAside(step);
        }
        while (pagesFreeSoon() < pagesOwed + pages) {
            dropLeastWorthKeeping();
        }
        return true;
    }

    private void dropLeastWorthKeeping() {
        DeviceAdapter idle = residency.leastWorthKeeping(keepScore);
        if (idle == null) {
            throw new IllegalStateException("no adapter is idle although some were counted");
        }
        drop(idle);
    }

    private int pagesFreeSoon() {
        return pool.freeCount() + pool.count(PageUse.QUARANTINED) + residency.drainingPages() + pagesEnding;
    }

    private Sequence whoYields() {
        Sequence victim = null;
        long score = 0;
        for (int i = 0; i < ledger.running.size(); i++) {
            Sequence sequence = ledger.running.get(i);
            if (sequence.wantsMore()) {
                long itsScore = policies.preemption().yieldScore(sequence);
                if (victim == null || itsScore > score || (itsScore == score && sequence.order > victim.order)) {
                    victim = sequence;
                    score = itsScore;
                }
            }
        }
        if (victim == null) {
            throw new IllegalStateException("a sequence needs pages, but none runs");
        }
        return victim;
    }

    private void drop(DeviceAdapter adapter) {
        step.plan.addMove(StepPlan.MOVE_DROP, adapter.slot());
        step.drops.add(adapter);
        residency.drain(adapter);
    }

    // ---- those who wait -------------------------------------------------------------------------------------------

    private void admitWaiting() {
        WaitingRoom room = ledger.room;
        room.rewind();
        Sequence blocked = null;
        for (int i = 0; i < CANDIDATES_MAX && pagesOwed == 0 && rowsLeft > 0; i++) {
            Sequence sequence = room.next();
            if (sequence == null || ledger.running.size() == limits.sequencesMax()) {
                break;
            }
            if (admit(sequence, blocked == null)) {
                if (blocked != null) {
                    blocked.bypassed++;
                }
            } else {
                room.skip();
                blocked = blocked == null ? sequence : blocked;
            }
            if (blocked != null && (blocked.started || blocked.bypassed >= limits.bypassMax())) {
                break; // nobody passes one that was preempted, or was passed too often: what runs ends some time
            }
        }
        room.restore();
        release(0);
    }

    /** Starts a waiting request if everything that it needs is there; sees to it that it will be there soon otherwise. */
    private boolean admit(Sequence sequence, boolean firstInLine) {
        AdapterGroup group = sequence.group;
        if (ledger.weights.bars(group) || !adaptersMayJoin(sequence, firstInLine)) {
            return false;
        }
        if (sequence.spec.sampling().wantsTokenCounts() && ledger.freeScratchCount() == 0) {
            return false;
        }
        // Its own adapters must not be evicted to make room for itself.
        int heldBefore = held.size();
        hold(group);
        Fit slots = slotsFit(group);
        Fit pages = slots == Fit.NEVER ? Fit.NEVER : pagesFit(sequence, firstInLine);
        boolean never = slots == Fit.NEVER || pages == Fit.NEVER;
        if (!never && (slots == Fit.SOON || pages == Fit.SOON)) {
            promise(sequence);
            return false;
        }
        release(heldBefore);
        if (never) {
            return false;
        }
        for (DeviceAdapter adapter : group.adapters) {
            if (!adapter.onDevice()) {
                load(adapter);
            }
        }
        ledger.run(sequence, nowNanos);
        if (sequence.scratchSlot >= 0) {
            int move = step.plan.addMove(StepPlan.MOVE_RESET_SEQUENCE, 0);
            step.plan.moveA[move] = sequence.scratchSlot;
        }
        giveRows(sequence, chunk(sequence.total()));
        return true;
    }

    /** It will fit: those behind it may not take its room, and its adapters stay. */
    private void promise(Sequence sequence) {
        promisedCount++;
        slotsPromised += slotsNeeded(sequence.group);
        pagesPromised += pagesNeeded(sequence);
    }

    private boolean adaptersMayJoin(Sequence sequence, boolean firstInLine) {
        int added = 0;
        for (DeviceAdapter adapter : sequence.group.adapters) {
            added += adapter.pins() == 0 ? 1 : 0;
        }
        if (added == 0) {
            return true;
        }
        int now = residency.pinnedCount();
        if (now + added > limits.adaptersPerStepMax()) {
            if (firstInLine) {
                ledger.weights.stepAside(step);
            }
            return false;
        }
        return policies.cluster().mayJoin(now, added, sequence, nowNanos);
    }

    private void hold(AdapterGroup group) {
        for (DeviceAdapter adapter : group.adapters) {
            if (adapter.onDevice()) {
                residency.pin(adapter);
                held.add(adapter);
            }
        }
    }

    /** Lets go of what was held since {@code held} had this size. */
    private void release(int size) {
        while (held.size() > size) {
            residency.unpin(held.remove(held.size() - 1));
        }
    }

    private Fit slotsFit(AdapterGroup group) {
        int needed = slotsNeeded(group);
        boolean draining = false;
        for (DeviceAdapter adapter : group.adapters) {
            draining |= adapter.state() == DeviceAdapter.State.DRAINING; // it has to be gone before it is loaded again
        }
        int soon = residency.freeSlotCount() + residency.drainingCount() - slotsPromised;
        if (!draining && needed <= residency.freeSlotCount() && needed <= soon) {
            return Fit.NOW;
        }
        int missing = needed - soon;
        if (noPlaceLeft() || missing > residency.evictableCount()) {
            return missing > 0 && ledger.weights.stepAside(step) ? Fit.SOON : Fit.NEVER;
        }
        for (; missing > 0; missing--) {
            dropLeastWorthKeeping();
        }
        return Fit.SOON;
    }

    private Fit pagesFit(Sequence sequence, boolean firstInLine) {
        int needed = pagesNeeded(sequence);
        if (policies.memory() == MemoryRule.PEAK_DEMAND && !peakFits(sequence)) {
            return firstInLine && ledger.weights.stepAside(step) ? Fit.SOON : Fit.NEVER;
        }
        int reserve = ledger.running.size(); // room for every running sequence to grow by a page
        boolean leavesWhatIsPromised = needed + pagesPromised <= pagesFreeSoon();
        if (needed + reserve <= pool.freeCount() && leavesWhatIsPromised) {
            return Fit.NOW;
        }
        return !noPlaceLeft() && roomComes(needed + pagesPromised + reserve) ? Fit.SOON : Fit.NEVER;
    }

    /** Room is made for no more requests than could run. */
    private boolean noPlaceLeft() {
        return ledger.running.size() + promisedCount >= limits.sequencesMax();
    }

    private static int slotsNeeded(AdapterGroup group) {
        int needed = 0;
        for (DeviceAdapter adapter : group.adapters) {
            needed += adapter.onDevice() ? 0 : 1;
        }
        return needed;
    }

    private int pagesNeeded(Sequence sequence) {
        int needed = pool.geometry().pagesFor(sequence.total());
        for (DeviceAdapter adapter : sequence.group.adapters) {
            needed += adapter.onDevice() ? 0 : adapter.pagesNeeded();
        }
        return needed;
    }

    /** S-LoRA's admission test: the worst moment of all answers at full length, and the adapters they pin. */
    private boolean peakFits(Sequence sequence) {
        peak.clear();
        for (int i = 0; i < ledger.running.size(); i++) {
            Sequence other = ledger.running.get(i);
            peak.add(other.total(), other.kvTokensMax() - other.total());
        }
        long pages = peak.pagesWith(sequence.total(), sequence.kvTokensMax() - sequence.total());
        for (DeviceAdapter adapter : sequence.group.adapters) {
            pages += adapter.onDevice() ? 0 : adapter.pagesNeeded();
        }
        for (int slot = 0; slot < residency.slotsMax(); slot++) {
            DeviceAdapter adapter = residency.at(slot);
            pages += adapter != null && adapter.pins() > 0 ? adapter.pagesNeeded() : 0;
        }
        return pages <= pool.geometry().pageCount();
    }

    private void load(DeviceAdapter adapter) {
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

    /** Uploads what the next in line will need, into memory that nobody misses. */
    private void prefetchAdapters() {
        WaitingRoom room = ledger.room;
        room.rewind();
        for (int i = 0; i < limits.prefetchAdaptersMax() && pagesOwed == 0 && promisedCount == 0; i++) {
            Sequence sequence = room.next();
            if (sequence == null) {
                break;
            }
            for (DeviceAdapter adapter : sequence.group.adapters) {
                int needed = adapter.pagesNeeded()
                        + ledger.running.size()
                        + pool.geometry().pagesFor(sequence.total());
                boolean spare = residency.freeSlotCount() > 0 && pool.freeCount() >= needed;
                if (adapter.state() == DeviceAdapter.State.STAGED && spare) {
                    load(adapter);
                }
            }
            room.skip();
        }
        room.restore();
    }
}
