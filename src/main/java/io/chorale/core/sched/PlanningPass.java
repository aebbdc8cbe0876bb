package io.chorale.core.sched;

import io.chorale.core.memory.DeviceAdapter;
import io.chorale.core.memory.PagePool;
import io.chorale.core.memory.PageUse;
import io.chorale.core.policy.BatchDemand;
import io.chorale.core.policy.WeightMode;
import java.util.ArrayList;
import java.util.List;

/**
 * Decides what one step does. The passes come in the order of importance: who is lost, which weights, those who run
 * (decode rows, then prefill chunks), those who wait, and uploads ahead of need. Deciding comes before writing, because
 * a sequence that runs out of pages may take the place of another.
 *
 * <p>A sequence waits for pages that are sure to come before anybody is preempted, and nobody is admitted while pages are
 * owed.
 */
final class PlanningPass {
    private final SchedulerLimits limits;
    private final SchedulerPolicies policies;
    private final Ledger ledger;
    private final PagePool pool;
    private final StepRoom room;
    private final Forecast forecast;
    private final AdmissionPass admission;
    private final BatchDemand demand = new BatchDemand();
    private final List<Sequence> turns = new ArrayList<>();
    private long demandsDrawn;
    private int stepsSinceAdmission;
    /** Given up until admission was tried last: those given up since are part of what has come since. */
    private long abortsAtLastTry;

    PlanningPass(SchedulerLimits limits, SchedulerPolicies policies, Ledger ledger, StepRecord first) {
        this.limits = limits;
        this.policies = policies;
        this.ledger = ledger;
        pool = ledger.pool;
        room = new StepRoom(limits, policies.eviction(), ledger, first);
        forecast = new Forecast(limits, policies.costs(), ledger);
        admission = new AdmissionPass(limits, policies, ledger, room, forecast);
    }

    Forecast forecast() {
        return forecast;
    }

    /** Decides; rows are written by the {@link PlanWriter} afterwards, moves are in the plan already. */
    void decide(StepRecord record, long now) {
        room.open(record, now);
        admission.open();
        boolean admits = ledger.running.isEmpty()
                || ++stepsSinceAdmission >= policies.batching().admitEverySteps();
        if (admits) {
            int abortedSince = (int) (ledger.earlyAborts - abortsAtLastTry);
            policies.order().admitting(ledger.room.count() + abortedSince);
        }
        abortHopeless(now);
        ledger.credits.settle(now);
        ledger.weights.choose(chooseWeights(), ledger.running, record);
        room.dropUnwanted();
        advanceRunning();
        if (admits) {
            record.admitted += admission.admitWaiting();
            policies.order().admitted(record.admitted, ledger.room.count());
            stepsSinceAdmission = record.admitted > 0 ? 0 : stepsSinceAdmission;
            abortsAtLastTry = ledger.earlyAborts;
            if (policies.batching().prefillAlone()) {
                holdDecodeRows();
            }
        }
        admission.prefetchAdapters();
        room.evictAhead();
    }

    /** Gives up whoever cannot have a first token in time any more, and whose turn will not come in time. */
    void abortHopeless(long now) {
        while (!ledger.deadlines.isEmpty()) {
            Sequence sequence = ledger.deadlines.peek();
            long at = sequence.score();
            if (at > now && mayReach(sequence, at - now)) {
                return;
            }
            if (at <= now) {
                at = policies.earlyAbort().hopelessAtNanos(sequence, forecast);
                if (at > now) {
                    ledger.deadlines.update(sequence, at, sequence.order); // it would go faster now than it looked
                    continue;
                }
            }
            ledger.abort(sequence);
        }
    }

    /** Asked of the one whose time is over first: where the latest goes first, all who came since may be before it. */
    private boolean mayReach(Sequence sequence, long nanosLeft) {
        TenantLine line = sequence.flow.line;
        long before = Math.min(line.waiting - 1L, ledger.cameSince(sequence));
        return sequence.flow.parkedFor != null || policies.order().mayReach(line, before, nanosLeft);
    }

    // ---- which weights --------------------------------------------------------------------------------------------

    private WeightMode chooseWeights() {
        if (policies.weightMode().looksAtBatch()) {
            drawDemand();
        }
        return policies.weightMode().choose(demand, room.nowNanos);
    }

    private void drawDemand() {
        demand.clear();
        demandsDrawn++;
        demand.requests = ledger.liveCount();
        demand.runningMax = limits.sequencesMax();
        demand.creditNanosMax = ledger.credits.most();
        demand.pagesShort = admission.pagesShort();
        demand.pageCount = pool.geometry().pageCount();
        for (int i = 0; i < ledger.running.size(); i++) {
            Sequence sequence = ledger.running.get(i);
            if (sequence.wantsMore()) {
                AdapterGroup group = sequence.group;
                if (group.seenInDemand != demandsDrawn) {
                    group.seenInDemand = demandsDrawn;
                    add(group);
                }
                demand.unmerged.rows++;
                demand.unmerged.contextTokens += sequence.total();
                demand.unmerged.adapterRows += group.adapters.length;
                if (group.demandIndex >= 0) {
                    demand.running[group.demandIndex]++;
                    demand.tokensLeft[group.demandIndex] += sequence.answerMax - sequence.answerTokens();
                }
            }
        }
    }

    private void add(AdapterGroup group) {
        for (DeviceAdapter adapter : group.adapters) {
            demand.unmerged.adapters++;
            demand.unmerged.adapterPages += adapter.pagesNeeded();
        }
        boolean mergeable = group.adapters.length == 1 && group.set.scales()[0] == 1 && group.adapters[0].mergeable();
        group.demandIndex =
                mergeable ? demand.add(group.adapters[0].version(), group.adapters[0].pagesNeeded(), group.users) : -1;
    }

    // ---- those who run --------------------------------------------------------------------------------------------

    private void advanceRunning() {
        drawTurns();
        boolean prefills = policies.batching().prefillAlone() && someonePrefills();
        for (int i = 0; i < turns.size() && !prefills; i++) {
            Sequence sequence = turns.get(i);
            if (sequence.total() - sequence.computed == 1 && growToTotal(sequence)) {
                room.giveRows(sequence, 1);
            }
        }
        for (int i = 0; i < turns.size() && room.rowsLeft > 0; i++) {
            Sequence sequence = turns.get(i);
            int wanted = sequence.total() - sequence.computed;
            if (wanted > 1 && sequence.state == Sequence.State.RUNNING) {
                room.giveRows(sequence, room.chunk(sequence.rowsWanted()));
            }
        }
    }

    private void drawTurns() {
        turns.clear();
        ledger.contextTokens = 0;
        boolean merged = ledger.weights.isActive();
        boolean booked = merged || !ledger.credits.isSettled();
        int covered = 0;
        for (int i = 0; i < ledger.running.size(); i++) {
            Sequence sequence = ledger.running.get(i);
            sequence.stepRows = 0;
            ledger.contextTokens += sequence.computed;
            if (!sequence.wantsMore()) {
                room.placesTaken++;
                room.pagesEnding += pool.ownedAlone(sequence.pages);
                continue;
            }
            if (ledger.weights.bars(sequence.groupNow())) {
                ledger.credits.holdBack(sequence.flow);
                continue;
            }
            if (!room.hasPlace()) {
                continue; // others began while merged steps held it back, or the other way round: the first have the
                // places
            }
            room.placesTaken++;
            turns.add(sequence);
            covered += merged && ledger.weights.covers(sequence.groupNow()) ? 1 : 0;
            if (booked) {
                ledger.credits.serve(sequence.flow);
            }
        }
        if (covered > 0) {
            chargeMerged(covered);
        }
    }

    /** Those who gain from merged weights share the price of having them. */
    private void chargeMerged(int covered) {
        for (int i = 0; i < turns.size(); i++) {
            if (ledger.weights.covers(turns.get(i).groupNow())) {
                ledger.charge(turns.get(i), policies.prices().merged() / covered);
            }
        }
    }

    private boolean someonePrefills() {
        for (int i = 0; i < turns.size(); i++) {
            if (turns.get(i).total() - turns.get(i).computed > 1) {
                return true;
            }
        }
        return false;
    }

    /** Prompts are computed by themselves: whoever draws tokens waits for them. */
    private void holdDecodeRows() {
        boolean prefills = false;
        for (int i = 0; i < ledger.running.size(); i++) {
            Sequence sequence = ledger.running.get(i);
            prefills |= sequence.stepRows > 0 && (sequence.stepRows > 1 || sequence.computed == 0);
        }
        for (int i = 0; prefills && i < ledger.running.size(); i++) {
            Sequence sequence = ledger.running.get(i);
            if (sequence.computed > 0 && sequence.stepRows == 1) {
                room.takeRowsBack(sequence);
            }
        }
    }

    /** Sees to the pages that a decode row needs. False: it sits this step out, or was preempted. */
    private boolean growToTotal(Sequence sequence) {
        if (sequence.state != Sequence.State.RUNNING) {
            return false; // preempted a moment ago
        }
        int needed = pool.geometry().pagesFor(sequence.total()) - sequence.pages.count();
        while (needed > pool.takeable()) {
            if (room.pagesCome(needed)) {
                room.pagesOwed += needed;
                return false;
            }
            Sequence victim = whoYields(sequence);
            room.takeRowsBack(victim);
            room.placesTaken -= turns.contains(victim) ? 1 : 0;
            ledger.preempt(victim, room.nowNanos);
            if (victim == sequence) {
                return false;
            }
        }
        pool.take(PageUse.KV, needed, sequence.pages);
        return true;
    }

    /** Somebody whose pages really come free; where there is nobody, the one that needs them. */
    private Sequence whoYields(Sequence needy) {
        Sequence victim = null;
        long score = 0;
        for (int i = 0; i < ledger.running.size(); i++) {
            Sequence sequence = ledger.running.get(i);
            if (sequence.wantsMore() && pool.ownedAlone(sequence.pages) > 0) {
                long itsScore = policies.preemption().yieldScore(sequence);
                if (victim == null || itsScore > score || (itsScore == score && sequence.order > victim.order)) {
                    victim = sequence;
                    score = itsScore;
                }
            }
        }
        return victim == null ? needy : victim;
    }
}
