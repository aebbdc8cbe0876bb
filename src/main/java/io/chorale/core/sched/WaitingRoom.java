package io.chorale.core.sched;

import io.chorale.core.model.Check;
import io.chorale.core.policy.OrderPolicy;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Everybody who waits: flows in line, in the order of the policy, and beside them those whose adapter is not in host memory:
 * they are parked, in nobody's way. How many may wait is the door's bound.
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

    final FlowsInLine inLine;

    private final OrderPolicy order;
    private final long patienceNanos;
    private final List<Sequence> preempted = new ArrayList<>();
    private final UnservedList unserved = new UnservedList();
    private final Parking parking = new Parking();
    private final List<Flow> skipped = new ArrayList<>();
    private int cursor;
    private @Nullable Flow outOfTurn;
    private int admittedSinceGuard = GUARD_EVERY;
    private int count;
    private long tokens;

    /** @param quantum service by which a flow that passes others may be ahead of them */
    WaitingRoom(OrderPolicy order, double quantum, long patienceNanos) {
        this.order = order;
        this.patienceNanos = patienceNanos;
        inLine = new FlowsInLine(order, quantum);
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
            inLine.rerank(flow);
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
            inLine.rerank(flow);
        }
    }

    private void joinLineOrPark(Flow flow, long nowNanos) {
        if (!parking.park(flow)) {
            joinLine(flow, nowNanos);
        }
    }

    private void joinLine(Flow flow, long nowNanos) {
        TenantLine line = flow.line;
        inLine.lift(flow);
        if (line.waiting == 0) {
            line.newestFirst = inLine.newestFirst();
            line.lostSome = false;
            line.pace.resume(nowNanos);
        }
        for (Sequence at = flow.first(); at != null; at = at.next) {
            count(line, at, 1);
        }
        unserved.add(flow, nowNanos);
        flow.group.link(flow);
        inLine.push(flow);
    }

    private void leaveLine(Flow flow) {
        if (flow == outOfTurn) {
            outOfTurn = null;
        }
        inLine.leave(flow);
        unserved.remove(flow);
        flow.group.unlink(flow);
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

    // ---- the cursor -----------------------------------------------------------------------------------------------

    void rewind(long nowNanos) {
        cursor = 0;
        inLine.turn();
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
        Flow first = inLine.first();
        return first == null ? null : first.head();
    }

    /** Who of an adapter set may pass those in line whom the walk has not skipped, or null. */
    @Nullable
    Sequence nextOf(AdapterGroup group) {
        Flow flow = inLine.firstOf(group);
        return flow == null ? null : flow.head();
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
        inLine.pull(shown.flow);
        skipped.add(shown.flow);
    }

    void restore() {
        for (int i = 0; i < skipped.size(); i++) {
            inLine.push(skipped.get(i));
        }
        skipped.clear();
        outOfTurn = null;
    }

    void verify() {
        int waiting = preempted.size();
        long wanted = 0;
        for (Sequence sequence : preempted) {
            wanted += sequence.total();
        }
        FlowsInLine.Load lined = inLine.verify();
        Check.state(unserved.verify() == lined.flows(), () -> "flows in line are lost from the list of their waits");
        Parking.Load parked = parking.verify();
        waiting += lined.requests() + parked.requests();
        wanted += lined.tokens() + parked.tokens();
        boolean exact = waiting == count && wanted == tokens && skipped.isEmpty();
        Check.state(exact, () -> "the waiting room's counts are not conserved");
    }
}
