package io.chorale.core.sched;

import io.chorale.core.memory.AdapterResidency;
import io.chorale.core.memory.DeviceAdapter;
import io.chorale.core.memory.PagePool;
import io.chorale.core.memory.PeakDemand;
import io.chorale.core.policy.MemoryRule;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Decides who of those that wait begins with the step being planned. Whoever goes first in line is asked first; adapters
 * that are in the batch already may be preferred; one that does not fit may be passed, but not for ever, and not by those
 * who have had much more. A request that will fit soon keeps what it was promised.
 */
final class AdmissionPass {
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
    private final WaitingRoom waiting;
    private final PagePool pool;
    private final AdapterResidency residency;
    private final StepRoom room;
    private final Forecast forecast;
    private final PeakDemand peak;

    /** Resident adapters of those for whom room is being made: not to be evicted while others are looked at. */
    private final List<DeviceAdapter> held = new ArrayList<>();

    /** For how many room is being made, and what they need in all. */
    private int promisedCount;

    private int slotsPromised;
    private int pagesPromised;
    private boolean pagesShort;
    private long walks;

    AdmissionPass(SchedulerLimits limits, SchedulerPolicies policies, Ledger ledger, StepRoom room, Forecast forecast) {
        this.limits = limits;
        this.policies = policies;
        this.ledger = ledger;
        this.room = room;
        this.forecast = forecast;
        waiting = ledger.room;
        pool = ledger.pool;
        residency = ledger.residency;
        peak = new PeakDemand(pool.geometry().pageTokens());
    }

    /** Whether somebody did not fit for want of pages when this was decided last. */
    boolean pagesShort() {
        return pagesShort;
    }

    void open() {
        promisedCount = 0;
        slotsPromised = 0;
        pagesPromised = 0;
    }

    /** Returns how many began. */
    int admitWaiting() {
        pagesShort = false;
        waiting.rewind(room.nowNanos);
        Sequence blocked = null;
        boolean clusters = !waiting.isOutOfTurn();
        int admitted = 0;
        int most = batchEndsFirst() ? 0 : CANDIDATES_MAX;
        for (int i = 0; i < most && hasRoom(); i++) {
            Sequence first = waiting.next();
            if (first == null) {
                break;
            }
            Sequence preferred = clusters ? preferred(first, blocked) : null;
            if (preferred == null && batchIsClosed()) {
                break;
            }
            clusters &= preferred != null || !policies.cluster().prefersRunning(residency.pinnedCount());
            Sequence candidate = preferred == null ? first : preferred;
            if (isLost(candidate)) {
                ledger.abort(candidate);
                continue;
            }
            boolean tooFarAhead = blocked != null && !waiting.inLine.mayPass(candidate, blocked);
            if (!tooFarAhead && admit(candidate, blocked == null && candidate == first)) {
                admitted++;
                Sequence passed = blocked != null ? blocked : first;
                passed.bypassed += passed == candidate || ledger.weights.bars(passed.groupNow()) ? 0 : 1;
            } else if (preferred != null) {
                clusters = false;
            } else {
                waiting.skip();
                blocked = blocked == null ? first : blocked;
            }
            if (blocked != null && (blocked.started || blocked.bypassed >= limits.bypassMax())) {
                break; // nobody passes one that was preempted, or was passed too often: what runs ends some time
            }
        }
        waiting.restore();
        release(0);
        return admitted;
    }

    private boolean hasRoom() {
        return room.pagesOwed == 0 && room.rowsLeft > 0 && room.hasPlace() && ledger.running.size() < limits.liveMax();
    }

    /** A request that has not begun and cannot have its first token in time any more: no prefill is wasted on it. */
    private boolean isLost(Sequence sequence) {
        return !sequence.started
                && sequence.ttftNanosMax() > 0
                && policies.earlyAbort().hopelessAtNanos(sequence, forecast) <= room.nowNanos;
    }

    // ---- whose adapter is there already ---------------------------------------------------------------------------

    /** The request that is taken before the first in line since its adapter is in the batch; null: there is none. */
    private @Nullable Sequence preferred(Sequence first, @Nullable Sequence blocked) {
        if (!policies.cluster().prefersRunning(residency.pinnedCount())
                || first.started
                || !policies.cluster().mayBePassed(first, room.nowNanos)
                || first.bypassed >= limits.bypassMax()) {
            return null;
        }
        walks++;
        Sequence best = null;
        for (int i = 0; i < ledger.running.size(); i++) {
            AdapterGroup group = ledger.running.get(i).group;
            if (group.seenInWalk == walks || group.firstFlow == null) {
                continue;
            }
            group.seenInWalk = walks;
            Sequence next = waiting.nextOf(group);
            if (next != null
                    && (blocked == null || waiting.inLine.mayPass(next, blocked))
                    && (best == null || waiting.inLine.goesBefore(next.flow, best.flow))) {
                best = next;
            }
        }
        return best;
    }

    /** Whether only those join whose adapter is in the batch. */
    private boolean batchIsClosed() {
        return policies.cluster().onlyRunning() && !ledger.running.isEmpty();
    }

    /** Whether not even those join, since so many others stand before them. */
    private boolean batchEndsFirst() {
        if (!batchIsClosed()) {
            return false;
        }
        AdapterGroup group = ledger.running.getFirst().group;
        Sequence theirs = waiting.nextOf(group);
        if (theirs == null) {
            return true;
        }
        int others = 0;
        Sequence first = waiting.next();
        while (first != null && first.group != group && !policies.cluster().drains(others)) {
            for (Sequence at = first; at != null && at.order < theirs.order; at = at.next) {
                others++;
            }
            waiting.skip();
            first = waiting.next();
        }
        waiting.restore();
        waiting.rewind(room.nowNanos);
        return policies.cluster().drains(others);
    }

    // ---- whether one fits -----------------------------------------------------------------------------------------

    /** Starts a waiting request if everything that it needs is there; sees to it that it will be there soon otherwise. */
    private boolean admit(Sequence sequence, boolean firstInLine) {
        AdapterGroup group = sequence.group;
        if (ledger.weights.bars(sequence.groupNow())) {
            ledger.credits.holdBack(sequence.flow);
            return false;
        }
        if (!adaptersMayJoin(sequence, firstInLine)) {
            return false;
        }
        if (sequence.spec.sampling().wantsTokenCounts() && ledger.freeScratchCount() == 0) {
            return false;
        }
        // Its own adapters must not be evicted to make room for itself.
        int heldBefore = held.size();
        if (firstInLine) {
            ledger.match(sequence); // others are looked at in vain too often, and their turn comes
        }
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
        begin(sequence);
        return true;
    }

    private void begin(Sequence sequence) {
        int pages = 0;
        for (DeviceAdapter adapter : sequence.group.adapters) {
            if (!adapter.onDevice()) {
                pages += adapter.pagesNeeded();
                upload(adapter, sequence);
            }
        }
        if (pages > 0) {
            room.uploadedFor(pages + pool.geometry().pagesFor(sequence.total()));
        }
        ledger.run(sequence, room.step.plan.stepId, room.nowNanos);
        room.placesTaken++;
        if (sequence.scratchSlot >= 0) {
            int move = room.step.plan.addMove(StepPlan.MOVE_RESET_SEQUENCE, 0);
            room.step.plan.moveA[move] = sequence.scratchSlot;
        }
        room.giveRows(sequence, room.chunk(sequence.rowsWanted()));
    }

    private void upload(DeviceAdapter adapter, Sequence forWhom) {
        room.load(adapter);
        ledger.charge(forWhom, policies.prices().upload() * adapter.pagesNeeded());
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
        if (added > 0 && residency.pinnedCount() + added > limits.adaptersPerStepMax()) {
            if (firstInLine) {
                ledger.weights.stepAside(room.step);
            }
            return false;
        }
        return true;
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
            return missing > 0 && ledger.weights.stepAside(room.step) ? Fit.SOON : Fit.NEVER;
        }
        for (; missing > 0; missing--) {
            room.dropLeastWorthKeeping();
        }
        return Fit.SOON;
    }

    private Fit pagesFit(Sequence sequence, boolean firstInLine) {
        int needed = pagesNeeded(sequence);
        if (policies.memory() == MemoryRule.PEAK_DEMAND && !peakFits(sequence)) {
            pagesShort = true;
            return firstInLine && ledger.weights.stepAside(room.step) ? Fit.SOON : Fit.NEVER;
        }
        int reserve = ledger.running.size(); // room for every running sequence to grow by a page
        boolean leavesWhatIsPromised = needed + pagesPromised <= room.pagesFreeSoon();
        if (needed + reserve <= pool.takeable() && leavesWhatIsPromised) {
            return Fit.NOW;
        }
        boolean soon = !noPlaceLeft() && room.pagesCome(needed + pagesPromised + reserve);
        pagesShort |= !soon;
        return soon ? Fit.SOON : Fit.NEVER;
    }

    /** Room is made for no more requests than could run. */
    private boolean noPlaceLeft() {
        return room.placesTaken + promisedCount >= limits.sequencesMax();
    }

    private static int slotsNeeded(AdapterGroup group) {
        int needed = 0;
        for (DeviceAdapter adapter : group.adapters) {
            needed += adapter.onDevice() ? 0 : 1;
        }
        return needed;
    }

    /** Those that others use already cost nothing, as far as is known; cached ones are as good as free and cost as much. */
    private int pagesNeeded(Sequence sequence) {
        int needed = pool.geometry().pagesFor(sequence.total()) - ledger.prefixes.ownedPages(sequence.match);
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

    // ---- ahead of need --------------------------------------------------------------------------------------------

    /**
     * Uploads what the next in line will need, into memory that nobody misses: not into what is kept free for those who begin,
     * since others would be evicted to have it again.
     */
    void prefetchAdapters() {
        int most = policies.prefetch() ? limits.prefetchAdaptersMax() : 0;
        if (most == 0 || room.pagesOwed > 0 || promisedCount > 0) {
            return;
        }
        waiting.rewind(room.nowNanos);
        for (int i = 0; i < most; i++) {
            Sequence sequence = waiting.next();
            if (sequence == null) {
                break;
            }
            for (DeviceAdapter adapter : sequence.group.adapters) {
                int needed = adapter.pagesNeeded()
                        + ledger.running.size()
                        + pool.geometry().pagesFor(sequence.total());
                boolean spare = residency.freeSlotCount() > 0 && pool.takeable() >= needed;
                if (adapter.state() == DeviceAdapter.State.STAGED && spare && room.isAhead(adapter.pagesNeeded(), 1)) {
                    upload(adapter, sequence);
                }
            }
            waiting.skip();
        }
        waiting.restore();
    }
}
