package io.chorale.core.sched;

import io.chorale.core.memory.DeviceAdapter;
import io.chorale.core.memory.PageUse;
import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.memory.PrefixCaching;
import io.chorale.core.model.Check;
import io.chorale.core.model.DropReason;
import io.chorale.core.model.FinishReason;
import io.chorale.core.model.LoadSnapshot;
import io.chorale.core.model.PrefixState;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SchedulingState;
import io.chorale.core.model.TopLogProbs;
import io.chorale.core.model.Usage;
import io.chorale.core.policy.EarlyAbortPolicy;
import java.util.Arrays;
import java.util.List;

/**
 * Turns requests, adapters and time into steps, and their outcomes into events. Pure and single-threaded: the same calls
 * give the same plans.
 *
 * <p>Plain loop: {@code plan, commit, plan, commit}. With look-ahead, {@code plan(n+1)} comes before {@code commit(n)}:
 * its rows may feed tokens that step n is still drawing. Counters advance when a step is planned; tokens, stops and
 * faults arrive when it is committed, and rows that turn out to be surplus are ignored then. A plan that is empty is
 * not begun and not committed; every other one is, in order, and stays valid until its commit.
 *
 * <p>The requests of a step that failed are dropped and everything else goes on. When it was refused its moves have not
 * happened and are undone here too.
 */
public final class Scheduler {
    private static final int STEPS_IN_FLIGHT_MAX = 2;
    private static final long LOOK_NANOS = 100_000_000;

    private final PoolGeometry geometry;
    private final SchedulerLimits limits;
    private final SchedulerPolicies policies;
    private final Ledger ledger;
    private final PlanningPass pass;
    private final PlanWriter writer;
    private final StepRecord[] records = {new StepRecord(), new StepRecord()};
    private int oldest;
    private int inFlight;
    /**
     * The step in flight was planned before the one before it was known to have failed, and may fail for that reason.
     * Nothing is planned on top of it, or one fault would go on from step to step.
     */
    private boolean suspect;

    private long stepIdNext;
    private long rows;
    private long answerTokens;
    private long stepsFailed;
    private long nowNanos;
    private long lastCommitNanos;
    private final AdmissionRate admissions = new AdmissionRate();
    private SchedulingState scheduling = SchedulingState.IDLE;
    private long lookedNanos = Long.MIN_VALUE / 2;

    /** One that computes everything for every request. */
    public Scheduler(PoolGeometry geometry, SchedulerLimits limits, SchedulerPolicies policies) {
        this(geometry, limits, policies, PrefixCaching.OFF);
    }

    public Scheduler(PoolGeometry geometry, SchedulerLimits limits, SchedulerPolicies policies, PrefixCaching caching) {
        this.geometry = geometry;
        this.limits = limits;
        this.policies = policies;
        ledger = new Ledger(geometry, policies, caching);
        pass = new PlanningPass(limits, policies, ledger, records[0]);
        writer = new PlanWriter(geometry, limits.vocab());
    }

    // ---- commands -------------------------------------------------------------------------------------------------

    /** Takes a request in. One that can never be served is dropped at once, as REFUSED, saying why. */
    public void submit(RequestSpec spec, long now) {
        nowNanos = now;
        String refusal = refusal(spec);
        if (refusal.isEmpty()) {
            Sequence sequence = ledger.enter(spec, answerMax(spec), now);
            long hopelessAt = policies.earlyAbort().hopelessAtNanos(sequence, pass.forecast());
            if (hopelessAt != EarlyAbortPolicy.NEVER) {
                ledger.deadlines.add(sequence, hopelessAt, sequence.order);
            }
        } else {
            ledger.events.dropped(spec.id(), DropReason.REFUSED, refusal, new Usage(spec.promptTokens().length, 0, 0));
        }
    }

    /** The client does not want it any more. A request that has ended already is none of our business. */
    public void cancel(long requestId) {
        cancel(requestId, DropReason.CANCELLED);
    }

    public void cancel(long requestId, DropReason reason) {
        Sequence sequence = ledger.find(requestId);
        if (sequence != null) {
            ledger.drop(sequence, reason, "the request was cancelled");
        }
    }

    /** An adapter is in host memory; requests that waited for it go on. */
    public void adapterReady(int version, long handle, int pages) {
        adapterReady(version, handle, pages, true);
    }

    /** @param mergeable whether it may be merged into the base weights */
    public void adapterReady(int version, long handle, int pages, boolean mergeable) {
        ledger.residency.staged(version, handle, pages, mergeable);
        List<Sequence> waiters = ledger.room.waitingFor(version);
        ledger.room.unpark(version, nowNanos);
        waiters.forEach(this::refuseIfTooLarge);
    }

    /**
     * An adapter could not be brought into host memory; requests that wait for it are dropped.
     *
     * @param reason ADAPTER_FAILED or ADAPTER_UNAVAILABLE
     */
    public void adapterFailed(int version, DropReason reason, String detail) {
        DeviceAdapter adapter = ledger.residency.find(version);
        if (adapter == null || adapter.onHost()) {
            return;
        }
        for (Sequence sequence : ledger.room.waitingFor(version)) {
            ledger.drop(sequence, reason, detail);
        }
    }

    /** The host wants to forget an adapter. True: it was not in use and is forgotten; false: it is in use. */
    public boolean adapterGone(int version) {
        return ledger.residency.unstage(version);
    }

    /** The same of one whose name has left it: what was computed with it is forgotten too. */
    public boolean adapterRetired(int version) {
        boolean gone = ledger.residency.unstage(version);
        if (gone) {
            ledger.prefixes.forget(version);
        }
        return gone;
    }

    /** Whether a live request names it. */
    public boolean adapterUsed(int version) {
        return ledger.residency.isUsed(version);
    }

    /** Drops every live request: the engine is dead, or draining took too long. */
    public void failAll(DropReason reason, String detail) {
        for (Sequence sequence : ledger.everybody()) {
            ledger.drop(sequence, reason, detail);
        }
    }

    /** Why a request cannot be served whatever else happens, or an empty text. */
    private String refusal(RequestSpec spec) {
        int promptTokens = spec.promptTokens().length;
        if (promptTokens >= limits.contextMax()) {
            return "the prompt has " + promptTokens + " tokens, the context holds " + limits.contextMax()
                    + " with at least one token of answer";
        }
        if (spec.adapters().versions().length > Math.min(limits.adaptersPerStepMax(), geometry.slotsMax())) {
            return "the request uses more adapters at once than a step may";
        }
        if (spec.sampling().wantsTokenCounts() && geometry.scratchMax() == 0) {
            return "this engine keeps no token counts, which penalties need";
        }
        for (int token : spec.promptTokens()) {
            if (token < 0 || token >= limits.vocab()) {
                return "prompt token " + token + " is not in the vocabulary of " + limits.vocab();
            }
        }
        for (int token : spec.sampling().biasIds()) {
            if (token < 0 || token >= limits.vocab()) {
                return "logit bias token " + token + " is not in the vocabulary of " + limits.vocab();
            }
        }
        return tooLarge(spec);
    }

    private int answerMax(RequestSpec spec) {
        return Math.min(spec.sampling().tokensMax(), limits.contextMax() - spec.promptTokens().length);
    }

    /** Alone in the pool a request must fit with its adapters, as far as they are known, or it would wait for ever. */
    private String tooLarge(RequestSpec spec) {
        int kvPages = geometry.pagesFor(spec.promptTokens().length + answerMax(spec) - 1);
        int adapterPages = 0;
        for (int version : spec.adapters().versions()) {
            DeviceAdapter adapter = ledger.residency.find(version);
            adapterPages += adapter == null ? 0 : adapter.pagesNeeded();
        }
        return kvPages + adapterPages <= geometry.pageCount()
                ? ""
                : "the request needs up to " + kvPages + " pages and " + adapterPages
                        + " for its adapters, the pool has " + geometry.pageCount();
    }

    /** How large an adapter is may become known while requests wait for it. */
    private void refuseIfTooLarge(Sequence sequence) {
        String refusal = tooLarge(sequence.spec);
        if (!refusal.isEmpty()) {
            ledger.drop(sequence, DropReason.REFUSED, refusal);
        }
    }

    // ---- steps ----------------------------------------------------------------------------------------------------

    /** What the engine is to do next; empty when there is nothing to do before something else happens. */
    public StepPlan plan(long now) {
        if (inFlight == STEPS_IN_FLIGHT_MAX) {
            throw new IllegalStateException("two steps are in flight, commit the older one first");
        }
        nowNanos = now;
        StepRecord record = records[(oldest + inFlight) % STEPS_IN_FLIGHT_MAX];
        record.reset(stepIdNext, now);
        if (suspect) {
            pass.abortHopeless(now);
        } else {
            decide(record, now);
        }
        if (!record.plan.isEmpty()) {
            stepIdNext++;
            inFlight++;
            rows += record.plan.rowCount;
            ledger.pool.begun(record.plan.stepId);
        }
        return record.plan;
    }

    /**
     * Fills a plan. When the only sequence that could go on gave its pages back, others can now: with nothing in flight
     * nobody would call again, so they get their turn at once.
     */
    private void decide(StepRecord record, long now) {
        int runningBefore;
        do {
            runningBefore = ledger.running.size();
            pass.decide(record, now);
            writer.write(record, ledger);
        } while (record.plan.isEmpty() && inFlight == 0 && ledger.running.size() < runningBefore);
    }

    /** Takes in what the oldest step in flight produced. */
    public void commit(StepOutcome outcome, long now) {
        StepRecord record = records[oldest];
        if (inFlight == 0 || outcome.stepId != record.plan.stepId) {
            throw new IllegalStateException("step " + outcome.stepId + " is not the oldest in flight");
        }
        oldest = (oldest + 1) % STEPS_IN_FLIGHT_MAX;
        inFlight--;
        ledger.pool.committed(outcome.stepId);
        suspect = inFlight > 0 && outcome.failed();
        if (outcome.failed()) {
            stepsFailed++;
            dropMembers(record, "the step failed: " + outcome.fault);
        }
        if (outcome.failed() && outcome.refused) {
            undoMoves(record, "an upload of its adapter was refused: " + outcome.fault);
        } else {
            completeMoves(record, outcome.failed());
        }
        if (!outcome.failed()) {
            keepPages(record);
            acceptTokens(record, outcome);
        }
        measure(record, outcome, now);
    }

    private void dropMembers(StepRecord record, String detail) {
        for (int i = 0; i < record.members.size(); i++) {
            Sequence sequence = record.members.get(i);
            if (sequence.state != Sequence.State.ENDED) {
                ledger.drop(sequence, DropReason.STEP_FAILED, detail);
            }
        }
    }

    private void completeMoves(StepRecord record, boolean stepFailed) {
        for (int i = 0; i < record.loads.size(); i++) {
            ledger.residency.loaded(record.loads.get(i));
        }
        ledger.weights.switched(record, stepFailed);
        for (int i = 0; i < record.drops.size(); i++) {
            ledger.residency.drained(record.drops.get(i));
        }
    }

    private void undoMoves(StepRecord record, String detail) {
        for (int i = 0; i < record.loads.size(); i++) {
            DeviceAdapter adapter = record.loads.get(i);
            dropUsers(adapter, detail);
            ledger.residency.loadFailed(adapter);
        }
        ledger.weights.switchRefused(record);
        for (int i = 0; i < record.drops.size(); i++) {
            ledger.residency.drainFailed(record.drops.get(i));
        }
    }

    /** Those who joined in the step planned ahead, counting on an upload that has not happened. */
    private void dropUsers(DeviceAdapter adapter, String detail) {
        for (int i = ledger.running.size() - 1; i >= 0; i--) {
            Sequence sequence = ledger.running.get(i);
            if (sequence.group.uses(adapter)) {
                ledger.drop(sequence, DropReason.STEP_FAILED, detail);
            }
        }
    }

    private void keepPages(StepRecord record) {
        for (int s = 0; s < record.members.size(); s++) {
            ledger.keep(record.members.get(s), record.plan.stepId, record.plan.seqContext[s]);
        }
    }

    private void acceptTokens(StepRecord record, StepOutcome outcome) {
        int samples = record.drawers.size();
        if (outcome.sampleCount != samples) {
            throw new IllegalStateException(outcome.sampleCount + " tokens drawn, " + samples + " asked for");
        }
        for (int k = 0; k < samples; k++) {
            Sequence sequence = record.drawers.get(k);
            if (sequence.state != Sequence.State.ENDED) { // else the row was surplus
                accept(sequence, outcome, k);
            }
        }
    }

    private void accept(Sequence sequence, StepOutcome outcome, int k) {
        int token = outcome.tokenIds[k];
        if (token < 0) {
            ledger.drop(
                    sequence,
                    DropReason.NO_TOKEN,
                    "no token could be drawn: the logits are not finite, or every token is forbidden");
            return;
        }
        sequence.accept(token);
        ledger.chargeToken(sequence);
        answerTokens++;
        if (sequence.spec.sampling().stopsAt(token)) {
            ledger.finish(sequence, FinishReason.STOP, token);
            return;
        }
        ledger.events.token(sequence.spec.id(), token, outcome.logProbs[k], top(outcome, k));
        if (sequence.complete()) {
            ledger.finish(sequence, FinishReason.LENGTH, -1);
        }
    }

    private static TopLogProbs top(StepOutcome outcome, int k) {
        int from = outcome.topStart[k];
        int to = outcome.topStart[k + 1];
        return from == to
                ? TopLogProbs.NONE
                : new TopLogProbs(
                        Arrays.copyOfRange(outcome.topIds, from, to),
                        Arrays.copyOfRange(outcome.topLogProbs, from, to));
    }

    private void measure(StepRecord record, StepOutcome outcome, long now) {
        nowNanos = now;
        long elapsed = now - Math.max(record.plannedNanos, lastCommitNanos);
        admissions.observe(elapsed, record.admitted, ledger.room.count());
        if (record.plan.rowCount > 0 && !outcome.failed()) {
            long onDevice = outcome.phaseNanos[outcome.phaseNanos.length - 1];
            policies.costs().observe(record.shape, onDevice > 0 ? onDevice : elapsed);
        }
        lastCommitNanos = now;
        record.members.clear();
        record.drawers.clear();
    }

    // ---- looking at it --------------------------------------------------------------------------------------------

    /** Moves the events since the last call to the end of a batch. */
    public void drainEvents(EventBatch into) {
        ledger.events.moveTo(into);
    }

    public LoadSnapshot snapshot() {
        return new LoadSnapshot(
                ledger.room.count(),
                ledger.running.size(),
                ledger.room.tokens(),
                geometry.pageCount(),
                ledger.pool.count(PageUse.KV),
                ledger.pool.count(PageUse.ADAPTER),
                ledger.pool.count(PageUse.FREE),
                ledger.pool.count(PageUse.QUARANTINED),
                ledger.residency.residentVersions(),
                stepIdNext,
                rows,
                answerTokens,
                stepsFailed,
                ledger.preemptions,
                ledger.residency.evictions(),
                ledger.residency.loads(),
                ledger.earlyAborts,
                queueNanosEstimate(),
                scheduling(),
                prefixes());
    }

    private PrefixState prefixes() {
        return new PrefixState(
                ledger.pool.count(PageUse.CACHED),
                ledger.prefixTokensQueried,
                ledger.prefixTokensFound,
                ledger.prefixes.evictions());
    }

    /** What those who wait take to be admitted, at the present rate; or as long as their prompts take to be computed. */
    private long queueNanosEstimate() {
        long byRate = ledger.room.count() * admissions.nanos();
        return byRate > 0 ? byRate : ledger.room.tokens() * pass.forecast().prefillTokenNanos();
    }

    /** Some of it is counted over everybody who waits, and so not in every step. */
    private SchedulingState scheduling() {
        boolean looks = nowNanos - lookedNanos >= LOOK_NANOS;
        lookedNanos = looks ? nowNanos : lookedNanos;
        scheduling = new SchedulingState(
                looks ? ledger.oldestWaitNanos(nowNanos) : scheduling.oldestWaitNanos(),
                looks ? ledger.room.inLine.serviceGap() : scheduling.serviceGap(),
                ledger.room.inLine.tenants(),
                looks ? ledger.room.inLine.tenantsNewestFirst() : scheduling.tenantsNewestFirst(),
                ledger.residency.pinnedCount() - ledger.weights.idle(),
                ledger.weights.merges(),
                ledger.weights.mergedSteps(),
                pass.forecast().stepNanos(),
                pass.forecast().prefillTokenNanos(),
                admissions.nanos(),
                policies.costs().error());
        return scheduling;
    }

    /** Whether nothing waits, runs or is in flight. */
    public boolean isIdle() {
        return inFlight == 0 && ledger.running.isEmpty() && ledger.room.count() == 0;
    }

    /** Checks the whole state against itself; throws naming what is broken. For simulations and idle moments. */
    public void verify() {
        Check.state(inFlight <= STEPS_IN_FLIGHT_MAX, () -> inFlight + " steps in flight");
        ledger.verify();
    }
}
