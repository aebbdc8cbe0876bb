package io.chorale.core.sched;

import io.chorale.core.model.AdapterSet;
import io.chorale.core.policy.FlowView;
import org.jspecify.annotations.Nullable;

/** The waiting requests of one tenant with one adapter set, first come first out; any of them can leave at once. */
final class Flow extends ScoreHeap.Item implements FlowView {
    final int tenant;
    final AdapterGroup group;

    /** The adapter it is parked for while that is not in host memory. */
    @Nullable
    Integer parkedFor;

    private @Nullable Sequence first;
    private @Nullable Sequence last;
    private int count;

    Flow(int tenant, AdapterGroup group) {
        this.tenant = tenant;
        this.group = group;
    }

    void add(Sequence sequence) {
        sequence.flow = this;
        sequence.previous = last;
        if (last == null) {
            first = sequence;
        } else {
            last.next = sequence;
        }
        last = sequence;
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
        sequence.flow = null;
        sequence.previous = null;
        sequence.next = null;
        count--;
    }

    @Nullable
    Sequence first() {
        return first;
    }

    @Override
    public int tenant() {
        return tenant;
    }

    @Override
    public AdapterSet adapters() {
        return group.set;
    }

    @Override
    public Sequence head() {
        Sequence head = first;
        if (head == null) {
            throw new IllegalStateException("an empty flow has no head");
        }
        return head;
    }

    @Override
    public int waiting() {
        return count;
    }
}
