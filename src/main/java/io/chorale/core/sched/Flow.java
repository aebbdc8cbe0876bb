package io.chorale.core.sched;

import io.chorale.core.model.AdapterSet;
import io.chorale.core.policy.FlowView;
import org.jspecify.annotations.Nullable;

/**
 * One tenant's requests with one adapter set: those that wait, in order of arrival, and the account of all that it was
 * served. It is kept for a while when it has none, lest a debt be forgotten.
 */
final class Flow extends ScoreHeap.Item implements FlowView {
    final TenantLine line;
    final AdapterSet set;
    final Account account;

    /** What its sequences use; exchanged when the last live request of the set has ended and another comes. */
    AdapterGroup group;

    /** Its requests, waiting and running. */
    int live;

    /** Listed among the idle ones, which may be forgotten. */
    boolean listedIdle;

    /** For how long merged steps have held it back beyond what it has held back others. */
    long creditNanos;

    /** Listed by {@link DelayCredits} for the step being planned. */
    boolean listedForCredit;

    /** The adapter it is parked for while that is not in host memory. */
    @Nullable
    Integer parkedFor;

    /** Since when it is in line and nobody of it was admitted. */
    long unservedSinceNanos;

    /** Neighbours in the list of flows by that time, while it is in line. */
    @Nullable
    Flow longerUnserved;

    @Nullable
    Flow shorterUnserved;

    /** Neighbours in the list of its group's flows in line. */
    @Nullable
    Flow previousOfGroup;

    @Nullable
    Flow nextOfGroup;

    private @Nullable Sequence first;
    private @Nullable Sequence last;
    private boolean newestFirst;
    private int count;

    Flow(TenantLine line, AdapterGroup group, Account account) {
        this.line = line;
        this.group = group;
        this.set = group.set;
        this.account = account;
    }

    void add(Sequence sequence) {
        insertAfter(last, sequence);
    }

    /** Before all that have not begun, in order of arrival among those that have. */
    void addPreempted(Sequence sequence) {
        Sequence at = null;
        for (Sequence next = first; next != null && next.started && next.order < sequence.order; next = next.next) {
            at = next;
        }
        insertAfter(at, sequence);
    }

    private void insertAfter(@Nullable Sequence before, Sequence sequence) {
        Sequence after = before == null ? first : before.next;
        sequence.previous = before;
        sequence.next = after;
        if (before == null) {
            first = sequence;
        } else {
            before.next = sequence;
        }
        if (after == null) {
            last = sequence;
        } else {
            after.previous = sequence;
        }
        sequence.queued = true;
        count++;
    }

    void remove(Sequence sequence) {
        Sequence previous = sequence.previous;
        Sequence next = sequence.next;
        if (previous == null) {
            first = next;
        } else {
            previous.next = next;
        }
        if (next == null) {
            last = previous;
        } else {
            next.previous = previous;
        }
        sequence.queued = false;
        sequence.previous = null;
        sequence.next = null;
        count--;
    }

    /** Which end is the head. */
    void turn(boolean newest) {
        newestFirst = newest;
    }

    /** Tokens that those who wait in it want computed. */
    long tokens() {
        long tokens = 0;
        for (Sequence at = first; at != null; at = at.next) {
            tokens += at.total();
        }
        return tokens;
    }

    @Nullable
    Sequence first() {
        return first;
    }

    @Override
    public Sequence head() {
        Sequence head = newestFirst && (first == null || !first.started) ? last : first;
        if (head == null) {
            throw new IllegalStateException("an empty flow has no head");
        }
        return head;
    }

    @Override
    public int waiting() {
        return count;
    }

    @Override
    public boolean newestFirst() {
        return newestFirst;
    }

    @Override
    public long service() {
        return account.service;
    }

    @Override
    public long creditNanos() {
        return creditNanos;
    }
}
