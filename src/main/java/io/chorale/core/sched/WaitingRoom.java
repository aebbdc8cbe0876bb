package io.chorale.core.sched;

import io.chorale.core.model.Check;
import io.chorale.core.model.Priority;
import io.chorale.core.policy.OrderPolicy;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Everybody who waits, by class of priority, tenant and flow, in the order of the policy. Flows whose adapter is not in
 * host memory are parked aside and are in nobody's way. How many may wait is the door's bound.
 *
 * <p>Where the order is by service, a preempted sequence is the head of its flow, since what it still wants counts like
 * anything else; in every other order those who were preempted go before everybody, oldest first.
 *
 * <p>Whatever the order, the flow that was passed for longer than {@link #patienceNanos} is taken out of turn, one in
 * {@link #GUARD_EVERY} admissions: so nobody waits for ever while others come.
 *
 * <p>Planning walks it with a cursor: {@link #rewind}, then {@link #next} and for each either {@link #take} or {@link
 * #skip}, and at last {@link #restore}. A walk costs by the requests looked at, not by those that wait.
 */
final class WaitingRoom {
    private static final int GUARD_EVERY = 16;
    private static final int[] NOBODY = {};

    /** Flows of one adapter set that are compared when its requests may pass others. */
    private static final int FLOWS_COMPARED_MAX = 8;

    /** The tenants of one class that are in line. */
    private static final class Section {
        final ScoreHeap<TenantLine> ready = new ScoreHeap<>();

        @Nullable
        TenantLine lastLeft;
    }

    private final OrderPolicy order;
    private final long quantum;
    private final long patienceNanos;
    private final List<Sequence> preempted = new ArrayList<>();
    private final Section[] sections = new Section[Priority.values().length];
    private final UnservedList unserved = new UnservedList();
    private final Parking parking = new Parking();
    private final List<Flow> skipped = new ArrayList<>();
    private int cursor;
    private @Nullable Flow outOfTurn;
    private int admittedSinceGuard = GUARD_EVERY;
    private boolean newestFirst;
    private int count;
    private long tokens;

    /** @param quantum service by which a flow that passes others may be ahead of them */
    WaitingRoom(OrderPolicy order, double quantum, long patienceNanos) {
        this.order = order;
        this.quantum = (long) (quantum * Account.UNITS);
        this.patienceNanos = patienceNanos;
        newestFirst = order.newestFirst();
        for (int i = 0; i < sections.length; i++) {
            sections[i] = new Section();
        }
    }

    int count() {
        return count;
    }

    /** Tokens that those who wait want computed. */
    long tokens() {
        return tokens;
    }

    // ---- coming and going -----------------------------------------------------------------------------------------

    void add(Sequence sequence, long nowNanos) {
        enter(sequence);
        sequence.flow.add(sequence);
        arrived(sequence, nowNanos);
    }

    /** Back to the front of its flow, or of everybody. */
    void addPreempted(Sequence sequence, long nowNanos) {
        enter(sequence);
        if (order.byService()) {
            sequence.flow.addPreempted(sequence);
            arrived(sequence, nowNanos);
            return;
        }
        int at = preempted.size();
        while (at > 0 && preempted.get(at - 1).order > sequence.order) {
            at--;
        }
        preempted.add(at, sequence);
    }

    void remove(Sequence sequence) {
        count--;
        tokens -= sequence.total();
        if (!sequence.queued) {
            Check.state(preempted.remove(sequence), () -> "request " + sequence.spec.id() + " does not wait");
            return;
        }
        Flow flow = sequence.flow;
        flow.remove(sequence);
        if (flow.parkedFor != null) {
            parking.left(flow, flow.parkedFor);
            return;
        }
        count(flow.line, sequence, -1);
        if (flow.waiting() == 0) {
            leaveLine(flow);
        } else {
            rerank(flow);
        }
    }

    private static void count(TenantLine line, Sequence sequence, int one) {
        line.waiting += one;
        line.patient += sequence.ttftNanosMax() == 0 ? one : 0;
    }

    private void enter(Sequence sequence) {
        count++;
        tokens += sequence.total();
    }

    private void arrived(Sequence sequence, long nowNanos) {
        Flow flow = sequence.flow;
        if (flow.waiting() == 1) {
            joinLineOrPark(flow, nowNanos);
        } else if (flow.parkedFor == null) {
            count(flow.line, sequence, 1);
            rerank(flow);
        }
    }

    private void joinLineOrPark(Flow flow, long nowNanos) {
        if (!parking.park(flow)) {
            joinLine(flow, nowNanos);
        }
    }

    /**
     * VTC's lift, at both levels: whoever comes into an empty line starts where the least served in line is, or if none is
     * where the last one was that left.
     */
    private void joinLine(Flow flow, long nowNanos) {
        TenantLine line = flow.line;
        Section section = sectionOf(line);
        if (!line.ready.isEmpty()) {
            flow.account.lift(firstOf(line).account.service);
        } else if (line.lastLeft != null) {
            flow.account.lift(line.lastLeft.account.service);
        }
        if (!line.inHeap()) {
            if (!section.ready.isEmpty()) {
                line.account.lift(firstOf(section).account.service);
            } else if (section.lastLeft != null) {
                line.account.lift(section.lastLeft.account.service);
            }
        }
        if (line.waiting == 0) {
            line.newestFirst = newestFirst;
            line.lostSome = false;
            line.pace.resume(nowNanos);
        }
        for (Sequence at = flow.first(); at != null; at = at.next) {
            count(line, at, 1);
        }
        unserved.add(flow, nowNanos);
        flow.group.link(flow);
        pushReady(flow);
    }

    private void leaveLine(Flow flow) {
        if (flow == outOfTurn) {
            outOfTurn = null;
        }
        pullReady(flow);
        unserved.remove(flow);
        flow.group.unlink(flow);
        flow.line.lastLeft = flow;
        if (flow.line.ready.isEmpty()) {
            sectionOf(flow.line).lastLeft = flow.line;
        }
    }

    /** An adapter is in host memory: flows parked for it go on. */
    void unpark(int version, long nowNanos) {
        List<Flow> waiters = parking.take(version);
        for (int i = 0; i < waiters.size(); i++) {
            joinLineOrPark(waiters.get(i), nowNanos);
        }
    }

    /** The requests that wait for this adapter to come to host memory, or for another one and this one too. */
    List<Sequence> waitingFor(int version) {
        return parking.waitingFor(version);
    }

    // ---- the order ------------------------------------------------------------------------------------------------

    private Section sectionOf(TenantLine line) {
        return sections[line.priority.level()];
    }

    /** Where a flow is among those of its tenant. One that gave its pages back goes before all that have not begun. */
    private long rank(Flow flow) {
        boolean yielded = order.byService() && !order.flowsByService() && flow.head().started;
        return yielded ? Long.MIN_VALUE + flow.head().order : order.rank(flow);
    }

    private void pushReady(Flow flow) {
        TenantLine line = flow.line;
        ScoreHeap<TenantLine> lines = sectionOf(line).ready;
        flow.turn(line.newestFirst);
        line.ready.add(flow, rank(flow), flow.head().order);
        if (!line.inHeap()) {
            lines.add(line, order.rank(line), line.ready.peek().head().order);
        } else {
            lines.update(line, order.rank(line), line.ready.peek().head().order);
        }
    }

    private void pullReady(Flow flow) {
        TenantLine line = flow.line;
        ScoreHeap<TenantLine> lines = sectionOf(line).ready;
        line.ready.remove(flow);
        if (line.ready.isEmpty()) {
            lines.remove(line);
        } else {
            lines.update(line, order.rank(line), line.ready.peek().head().order);
        }
    }

    /** The head of a flow, or something else that its rank depends on, has changed. */
    void rerank(Flow flow) {
        if (flow.inHeap()) {
            TenantLine line = flow.line;
            flow.turn(line.newestFirst);
            line.ready.update(flow, rank(flow), flow.head().order);
            sectionOf(line)
                    .ready
                    .update(line, order.rank(line), line.ready.peek().head().order);
        }
    }

    /** The first flow of a tenant. Service only grows, so a rank that is out of date is too low and corrected here. */
    private Flow firstOf(TenantLine line) {
        while (true) {
            Flow flow = line.ready.peek();
            long rank = rank(flow);
            if (rank == flow.score()) {
                return flow;
            }
            line.ready.update(flow, rank, flow.head().order);
        }
    }

    private TenantLine firstOf(Section section) {
        while (true) {
            TenantLine line = section.ready.peek();
            if (line.newestFirst != order.newestFirst(line)) {
                turnAround(line);
            }
            long rank = order.rank(line);
            if (rank == line.score()) {
                return line;
            }
            section.ready.update(line, rank, firstOf(line).head().order);
        }
    }

    /** Whoever came last goes first from now on, or the other way round: over all tenants, or within one. */
    private void turnAround() {
        newestFirst = order.newestFirst();
        for (Section section : sections) {
            for (int i = 0; i < section.ready.size(); i++) {
                TenantLine line = section.ready.get(i);
                turnAround(line);
                section.ready.rescore(line, order.rank(line), line.ready.peek().head().order);
            }
            section.ready.rebuild();
        }
    }

    private void turnAround(TenantLine line) {
        line.newestFirst = !line.newestFirst;
        for (int i = 0; i < line.ready.size(); i++) {
            Flow flow = line.ready.get(i);
            flow.turn(line.newestFirst);
            line.ready.rescore(flow, rank(flow), flow.head().order);
        }
        line.ready.rebuild();
    }

    // ---- the cursor -----------------------------------------------------------------------------------------------

    void rewind(long nowNanos) {
        cursor = 0;
        if (newestFirst != order.newestFirst()) {
            turnAround();
        }
        Flow longest = unserved.longest();
        boolean due = longest != null
                && nowNanos - longest.unservedSinceNanos > patienceNanos
                && admittedSinceGuard >= GUARD_EVERY;
        outOfTurn = due ? longest : null;
    }

    /** Whether the next one has been passed for so long that it goes before its turn. */
    boolean isOutOfTurn() {
        return outOfTurn != null;
    }

    /** Who would be next, or null. */
    @Nullable
    Sequence next() {
        if (cursor < preempted.size()) {
            return preempted.get(cursor);
        }
        if (outOfTurn != null) {
            return outOfTurn.head();
        }
        for (Section section : sections) {
            if (!section.ready.isEmpty()) {
                return firstOf(firstOf(section)).head();
            }
        }
        return null;
    }

    /**
     * Who of an adapter set may pass those in line, or null: the one of them that goes first, if it is not too far ahead of
     * everybody whom the walk has not skipped.
     */
    @Nullable
    Sequence nextOf(AdapterGroup group) {
        Flow best = null;
        int compared = 0;
        for (Flow flow = group.firstFlow; flow != null && compared < FLOWS_COMPARED_MAX; flow = flow.nextOfGroup) {
            compared++;
            if (flow.inHeap() && mayPassAll(flow) && (best == null || goesBefore(flow, best))) {
                best = flow;
            }
        }
        return best == null ? null : best.head();
    }

    /** Whether a flow may go before everybody who is in line now. */
    private boolean mayPassAll(Flow flow) {
        for (int higher = 0; higher < flow.line.priority.level(); higher++) {
            if (!sections[higher].ready.isEmpty()) {
                return false;
            }
        }
        return !order.byService()
                || (flow.line.account.service - firstOf(sectionOf(flow.line)).account.service <= quantum
                        && (!order.flowsByService()
                                || flow.account.service - firstOf(flow.line).account.service <= quantum));
    }

    /** Whether of two candidates the first is to be taken. */
    boolean goesBefore(Flow a, Flow b) {
        if (a.line.priority != b.line.priority) {
            return a.line.priority.compareTo(b.line.priority) < 0;
        }
        if (order.byService() && a.line != b.line) {
            return a.line.account.service < b.line.account.service;
        }
        long mine = rank(a);
        long other = rank(b);
        return mine != other ? mine < other : a.head().order < b.head().order;
    }

    /** Whether a sequence may be admitted while another one, which was to go before it, does not fit yet. */
    boolean mayPass(Sequence sequence, Sequence blocked) {
        Flow its = sequence.flow;
        Flow others = blocked.flow;
        if (!order.byService() || its.line.priority != others.line.priority) {
            return true;
        }
        if (its.line == others.line) {
            return !order.flowsByService() || its.account.service - others.account.service <= quantum;
        }
        return its.line.account.service - others.line.account.service <= quantum;
    }

    /** It leaves the room to run. */
    void take(Sequence sequence, long nowNanos) {
        Flow flow = sequence.flow;
        boolean queued = sequence.queued;
        boolean early = queued && flow == outOfTurn;
        remove(sequence);
        if (queued) {
            flow.line.pace.admitted(nowNanos);
        }
        if (queued && flow.waiting() > 0) {
            unserved.remove(flow);
            unserved.add(flow, nowNanos);
        }
        admittedSinceGuard++;
        if (early) {
            outOfTurn = null;
            admittedSinceGuard = 0;
        }
    }

    /** The one that {@link #next} showed is passed over, and its flow with it. */
    void skip() {
        if (cursor < preempted.size()) {
            cursor++;
            return;
        }
        Sequence shown = next();
        if (shown == null) {
            throw new IllegalStateException("nobody is there to be skipped");
        }
        outOfTurn = null;
        pullReady(shown.flow);
        skipped.add(shown.flow);
    }

    void restore() {
        for (int i = 0; i < skipped.size(); i++) {
            pushReady(skipped.get(i));
        }
        skipped.clear();
        outOfTurn = null;
    }

    // ---- looking at it --------------------------------------------------------------------------------------------

    /** Tenants in line. */
    int tenants() {
        int tenants = 0;
        for (Section section : sections) {
            tenants += section.ready.size();
        }
        return tenants;
    }

    /**
     * The tenants whose latest request goes first as long as they are in line, in any class; not those of an order in which
     * that may be otherwise with the next admission.
     */
    int[] tenantsNewestFirst() {
        int[] tenants = NOBODY;
        int found = 0;
        for (Section section : sections) {
            for (int i = 0; i < section.ready.size() && !newestFirst; i++) {
                if (section.ready.get(i).newestFirst) {
                    tenants = found == tenants.length ? Arrays.copyOf(tenants, 2 * found + 1) : tenants;
                    tenants[found++] = section.ready.get(i).tenant;
                }
            }
        }
        return found == tenants.length ? tenants : Arrays.copyOf(tenants, found);
    }

    /** The most that a tenant in line is ahead of another one of its class, in tokens at a price of 1. */
    double serviceGap() {
        double gap = 0;
        for (Section section : sections) {
            if (!section.ready.isEmpty()) {
                long most = Long.MIN_VALUE;
                for (int i = 0; i < section.ready.size(); i++) {
                    most = Math.max(most, section.ready.get(i).account.service);
                }
                long least = Long.MAX_VALUE;
                for (int i = 0; i < section.ready.size(); i++) {
                    least = Math.min(least, section.ready.get(i).account.service);
                }
                gap = Math.max(gap, (most - least) / Account.UNITS);
            }
        }
        return gap;
    }

    void verify() {
        int waiting = preempted.size();
        long wanted = 0;
        for (Sequence sequence : preempted) {
            wanted += sequence.total();
        }
        int flows = 0;
        for (Section section : sections) {
            section.ready.verify();
            for (int i = 0; i < section.ready.size(); i++) {
                TenantLine line = section.ready.get(i);
                line.ready.verify();
                int ofLine = waiting;
                for (int k = 0; k < line.ready.size(); k++) {
                    Flow flow = line.ready.get(k);
                    Check.state(flow.group.missing() == null, () -> "a flow is in line without its adapter");
                    waiting += flow.waiting();
                    wanted += flow.tokens();
                    flows++;
                }
                int counted = waiting - ofLine;
                Check.state(counted == line.waiting, () -> "a tenant's requests in line are not conserved");
            }
        }
        int inLine = flows;
        Check.state(unserved.verify() == inLine, () -> "flows in line are lost from the list of their waits");
        Parking.Load parked = parking.verify();
        waiting += parked.requests();
        wanted += parked.tokens();
        boolean exact = waiting == count && wanted == tokens && skipped.isEmpty();
        Check.state(exact, () -> "the waiting room's counts are not conserved");
    }
}
