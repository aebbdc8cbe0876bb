package io.chorale.core.sched;

import io.chorale.core.memory.AdapterResidency;
import io.chorale.core.memory.DeviceAdapter;
import io.chorale.core.memory.PagePool;
import io.chorale.core.memory.PageUse;
import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.memory.PrefixCache;
import io.chorale.core.memory.PrefixCaching;
import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.Check;
import io.chorale.core.model.DropReason;
import io.chorale.core.model.FinishReason;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.policy.PolicySettings.Prices;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Who holds what: every live request, and the pages, slots and pins that it holds. The few ways from waiting to running
 * and back and to the end are here and nowhere else, so that nothing is given back twice or forgotten.
 */
final class Ledger {
    final PagePool pool;
    final PrefixCache prefixes;
    final AdapterResidency residency;
    final WaitingRoom room;
    final MergedWeights weights;
    final DelayCredits credits;
    /** In the order of admission. */
    final List<Sequence> running = new ArrayList<>();
    /** Waiting requests that may become hopeless, by when. */
    final ScoreHeap<Sequence> deadlines = new ScoreHeap<>();

    final EventBatch events = new EventBatch();
    /** Tokens of all running sequences that are computed, when the last step was planned. */
    long contextTokens;

    private final Prices prices;
    private final FlowBook book;
    private final Map<Long, Sequence> live = new LinkedHashMap<>();
    private final Map<AdapterSet, AdapterGroup> groups = new LinkedHashMap<>();
    /** Is always there: it also runs what comes before the first token that a request's adapters act on. */
    private final AdapterGroup base;

    private final int[] freeScratch;
    private int freeScratchCount;
    private long orderNext;
    long preemptions;
    long earlyAborts;
    /** Prompt tokens of the requests that began, and how many of them were there already. */
    long prefixTokensQueried;

    long prefixTokensFound;

    Ledger(PoolGeometry geometry, SchedulerPolicies policies, PrefixCaching caching) {
        prices = policies.prices();
        pool = new PagePool(geometry);
        prefixes = new PrefixCache(pool, caching);
        residency = new AdapterResidency(pool);
        base = new AdapterGroup(AdapterSet.BASE, residency);
        groups.put(base.set, base);
        room = new WaitingRoom(policies.order(), policies.quantum(), policies.patienceNanos());
        book = new FlowBook(policies.weights());
        weights = new MergedWeights(residency);
        credits = new DelayCredits(room);
        freeScratch = new int[geometry.scratchMax()];
        for (int i = 0; i < freeScratch.length; i++) {
            freeScratch[i] = freeScratch.length - 1 - i;
        }
        freeScratchCount = freeScratch.length;
    }

    int liveCount() {
        return live.size();
    }

    @Nullable
    AdapterGroup groupOf(AdapterSet set) {
        return groups.get(set);
    }

    int freeScratchCount() {
        return freeScratchCount;
    }

    /** The live request of this id, or null. */
    @Nullable
    Sequence find(long requestId) {
        return live.get(requestId);
    }

    /** How long the oldest of those that wait has waited. */
    long oldestWaitNanos(long nowNanos) {
        if (room.count() == 0) {
            return 0;
        }
        for (Sequence sequence : live.values()) { // in the order in which they came: those before it run
            if (sequence.state == Sequence.State.WAITING) {
                return Math.max(0, nowNanos - sequence.arrivalNanos());
            }
        }
        return 0;
    }

    /** How many have come since this one did. */
    long cameSince(Sequence sequence) {
        return orderNext - 1 - sequence.order;
    }

    List<Sequence> everybody() {
        return new ArrayList<>(live.values());
    }

    /** Takes a request in; it waits. */
    Sequence enter(RequestSpec spec, int answerMax, long nowNanos) {
        AdapterGroup group = groups.computeIfAbsent(spec.adapters(), set -> new AdapterGroup(set, residency));
        group.users++;
        for (DeviceAdapter adapter : group.adapters) {
            residency.want(adapter, 1);
        }
        Sequence sequence = new Sequence(spec, book.enter(spec, group), base, orderNext++, answerMax);
        Check.argument(live.put(spec.id(), sequence) == null, () -> "request " + spec.id() + " is submitted twice");
        room.add(sequence, nowNanos);
        return sequence;
    }

    /**
     * From waiting to running, with what others have computed of it. Its adapters are on the device, its pages and scratch
     * slot are free: planning has asked.
     */
    void run(Sequence sequence, long stepId, long nowNanos) {
        room.take(sequence, nowNanos);
        sequence.state = Sequence.State.RUNNING;
        sequence.reserve(pool.geometry().pageTokens());
        sequence.runsSinceStep = stepId;
        sequence.keptPages = match(sequence);
        prefixes.share(sequence.match, sequence.pages);
        sequence.computed = sequence.keptPages * pool.geometry().pageTokens();
        int pages = pool.geometry().pagesFor(sequence.total());
        pool.take(PageUse.KV, pages - sequence.keptPages, sequence.pages);
        if (sequence.spec.sampling().wantsTokenCounts()) {
            sequence.scratchSlot = freeScratch[--freeScratchCount];
        }
        sequence.group.running++;
        for (DeviceAdapter adapter : sequence.group.adapters) {
            residency.pin(adapter);
        }
        running.add(sequence);
        if (!sequence.started) {
            begin(sequence, nowNanos);
        }
    }

    /** Pages at a waiting sequence's beginning that were computed already. */
    int match(Sequence sequence) {
        return prefixes.match(sequence, sequence.sharedPagesMax(pool.geometry().pageTokens()), sequence.match);
    }

    /** A step has ended well: the pages that it filled are there for others, if the sequence still has them. */
    void keep(Sequence sequence, long stepId, int tokens) {
        int pageTokens = pool.geometry().pageTokens();
        boolean itsPages = sequence.state == Sequence.State.RUNNING && stepId >= sequence.runsSinceStep;
        if (itsPages && tokens - sequence.keptPages * pageTokens >= pageTokens) {
            int full = tokens / pageTokens;
            sequence.keptPages = prefixes.keep(sequence, sequence.pages, sequence.keptPages, full);
        }
    }

    private void begin(Sequence sequence, long nowNanos) {
        sequence.started = true;
        sequence.cachedTokens = sequence.computed;
        prefixTokensQueried += sequence.promptTokens();
        prefixTokensFound += sequence.computed;
        if (sequence.inHeap()) {
            deadlines.remove(sequence);
        }
        for (DeviceAdapter adapter : sequence.group.adapters) {
            residency.began(adapter, nowNanos);
        }
        charge(sequence, prices.input() * (sequence.promptTokens() - sequence.cachedTokens));
        // The loop reads its clock once a cycle: a request may have come a moment after that.
        events.started(sequence.spec.id(), Math.max(0, nowNanos - sequence.spec.arrivalNanos()), sequence.cachedTokens);
    }

    /** Something was done for a request that others pay for by waiting. */
    void charge(Sequence sequence, double price) {
        sequence.flow.line.charge(sequence.flow, price);
    }

    void chargeToken(Sequence sequence) {
        charge(sequence, prices.output());
    }

    /** From running back to waiting: it keeps its tokens and will compute them again. */
    void preempt(Sequence sequence, long nowNanos) {
        stopRunning(sequence);
        sequence.state = Sequence.State.WAITING;
        sequence.computed = 0;
        sequence.keptPages = 0;
        room.addPreempted(sequence, nowNanos);
        preemptions++;
    }

    void finish(Sequence sequence, FinishReason reason, int stopTokenId) {
        end(sequence);
        events.finished(sequence.spec.id(), reason, stopTokenId, sequence.usage());
    }

    /** Early abort. */
    void abort(Sequence sequence) {
        earlyAborts++;
        sequence.flow.line.lostSome = true;
        drop(sequence, DropReason.SLO_UNREACHABLE, "the first token cannot come within the time objective any more");
    }

    void drop(Sequence sequence, DropReason reason, String detail) {
        end(sequence);
        events.dropped(sequence.spec.id(), reason, detail, sequence.usage());
    }

    private void end(Sequence sequence) {
        switch (sequence.state) {
            case WAITING -> room.remove(sequence);
            case RUNNING -> stopRunning(sequence);
            case ENDED -> throw new IllegalStateException("request " + sequence.spec.id() + " ends twice");
        }
        sequence.state = Sequence.State.ENDED;
        if (sequence.inHeap()) {
            deadlines.remove(sequence);
        }
        live.remove(sequence.spec.id());
        book.leave(sequence.flow);
        AdapterGroup group = sequence.group;
        for (DeviceAdapter adapter : group.adapters) {
            residency.want(adapter, -1);
        }
        if (--group.users == 0 && group != base) {
            groups.remove(group.set);
            for (DeviceAdapter adapter : group.adapters) {
                residency.unuse(adapter);
            }
        }
    }

    private void stopRunning(Sequence sequence) {
        running.remove(sequence);
        sequence.group.running--;
        sequence.stepRows = 0;
        pool.giveBack(sequence.pages);
        for (DeviceAdapter adapter : sequence.group.adapters) {
            residency.unpin(adapter);
        }
        if (sequence.scratchSlot >= 0) {
            // No quarantine: a step resets and reads counts in order, after every step before it.
            freeScratch[freeScratchCount++] = sequence.scratchSlot;
            sequence.scratchSlot = -1;
        }
    }

    /** Checks everything against everything. */
    void verify() {
        pool.verify();
        prefixes.verify();
        residency.verify();
        room.verify();
        deadlines.verify();
        Check.state(
                live.size() == running.size() + room.count(),
                () -> live.size() + " live requests, but " + running.size() + " run and " + room.count() + " wait");
        Map<DeviceAdapter, Integer> pins = new LinkedHashMap<>();
        for (Sequence sequence : running) {
            Check.state(
                    sequence.state == Sequence.State.RUNNING,
                    () -> "request " + sequence.spec.id() + " is in the batch but " + sequence.state);
            for (DeviceAdapter adapter : sequence.group.adapters) {
                pins.merge(adapter, 1, Integer::sum);
            }
        }
        int scratch = 0;
        int runs = 0;
        int[] owners = new int[pool.geometry().pageCount()];
        for (Sequence sequence : live.values()) {
            verify(sequence, owners);
            runs += sequence.state == Sequence.State.RUNNING ? 1 : 0;
            scratch += sequence.scratchSlot >= 0 ? 1 : 0;
        }
        Check.state(runs == running.size(), () -> "a running request is not in the batch");
        verifyOwners(owners);
        Check.state(scratch + freeScratchCount == freeScratch.length, () -> "a scratch slot is lost");
        int users = 0;
        for (AdapterGroup group : groups.values()) {
            users += group.users;
            for (DeviceAdapter adapter : group.adapters) {
                verifyPins(adapter, pins.getOrDefault(adapter, 0));
            }
        }
        book.verify(live.size());
        credits.verify();
        Check.state(users == live.size(), () -> "adapter sets and live requests differ in number");
    }

    private void verifyOwners(int[] owners) {
        // There may be millions: nothing is made for one that is right.
        for (int page = 0; page < owners.length; page++) {
            int counted = pool.useOf(page) == PageUse.KV ? pool.references(page) : 0;
            if (owners[page] != counted) {
                throw new IllegalStateException(
                        owners[page] + " sequences hold page " + page + ", the pool says " + counted);
            }
            if (counted > 1 && !prefixes.has(page)) {
                throw new IllegalStateException("page " + page + " has several owners and is not cached");
            }
        }
    }

    private void verify(Sequence sequence, int[] owners) {
        long id = sequence.spec.id();
        Check.state(
                sequence.pages.count() * pool.geometry().pageTokens() >= sequence.computed,
                () -> "request " + id + " computed " + sequence.computed + " tokens into " + sequence.pages.count()
                        + " pages");
        Check.state(
                sequence.state == Sequence.State.RUNNING || sequence.pages.count() == 0,
                () -> "request " + id + " waits and holds pages");
        for (int i = 0; i < sequence.pages.count(); i++) {
            int page = sequence.pages.page(i);
            Check.state(pool.useOf(page) == PageUse.KV, () -> "page " + page + " of request " + id + " is not KV");
            owners[page]++;
            boolean kept = i >= sequence.keptPages || prefixes.has(page);
            Check.state(kept, () -> "page " + page + " of request " + id + " is not in the cache");
        }
    }

    private void verifyPins(DeviceAdapter adapter, int runningUsers) {
        int counted = runningUsers + weights.pins(adapter);
        Check.state(
                counted == adapter.pins(),
                () -> "adapter " + adapter.version() + " has " + adapter.pins() + " pins for " + counted + " reasons");
    }
}
