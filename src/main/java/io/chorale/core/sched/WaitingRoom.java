package io.chorale.core.sched;

import io.chorale.core.memory.DeviceAdapter;
import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.Check;
import io.chorale.core.policy.FairnessPolicy;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Everybody who waits: preempted sequences in front, oldest first; then flows in the order of the fairness policy. Flows
 * whose adapter is not in host memory are parked aside and are in nobody's way. Flows may pass each other; inside one it
 * is strictly first come, first served. How many may wait is the door's bound.
 *
 * <p>Planning walks it with a cursor: {@link #rewind}, then {@link #next} and for each either {@link #take} or {@link
 * #skip}, and at last {@link #restore}. A walk costs by the requests looked at, not by those that wait.
 */
final class WaitingRoom {
    private record FlowKey(int tenant, AdapterSet adapters) {}

    private final FairnessPolicy fairness;
    private final List<Sequence> preempted = new ArrayList<>();
    private final Map<FlowKey, Flow> flows = new LinkedHashMap<>();
    private final ScoreHeap<Flow> ready = new ScoreHeap<>();
    private final Map<Integer, List<Flow>> parked = new LinkedHashMap<>();
    private final List<Flow> skipped = new ArrayList<>();
    private int cursor;
    private int count;
    private long tokens;

    WaitingRoom(FairnessPolicy fairness) {
        this.fairness = fairness;
    }

    int count() {
        return count;
    }

    /** Tokens that those who wait want computed. */
    long tokens() {
        return tokens;
    }

    void add(Sequence sequence) {
        enter(sequence);
        FlowKey key = new FlowKey(sequence.spec.tenant(), sequence.group.set);
        Flow flow = flows.computeIfAbsent(key, k -> new Flow(k.tenant(), sequence.group));
        flow.add(sequence);
        if (flow.waiting() == 1) {
            makeReadyOrPark(flow);
        }
    }

    /** Back to the front, in order of arrival among those who were preempted before. */
    void addPreempted(Sequence sequence) {
        enter(sequence);
        int at = preempted.size();
        while (at > 0 && preempted.get(at - 1).order > sequence.order) {
            at--;
        }
        preempted.add(at, sequence);
    }

    void remove(Sequence sequence) {
        count--;
        tokens -= sequence.total();
        Flow flow = sequence.flow;
        if (flow == null) {
            Check.state(preempted.remove(sequence), () -> "request " + sequence.spec.id() + " does not wait");
            return;
        }
        boolean wasHead = flow.head() == sequence;
        flow.remove(sequence);
        if (flow.waiting() == 0) {
            flows.remove(new FlowKey(flow.tenant, flow.group.set));
            leaveQueue(flow);
        } else if (wasHead && flow.inHeap()) {
            ready.update(flow, fairness.rank(flow), flow.head().order);
        }
    }

    private void enter(Sequence sequence) {
        count++;
        tokens += sequence.total();
    }

    private void makeReadyOrPark(Flow flow) {
        DeviceAdapter missing = flow.group.missing();
        if (missing == null) {
            ready.add(flow, fairness.rank(flow), flow.head().order);
        } else {
            flow.parkedFor = missing.version();
            parked.computeIfAbsent(missing.version(), version -> new ArrayList<>())
                    .add(flow);
        }
    }

    private void leaveQueue(Flow flow) {
        Integer version = flow.parkedFor;
        if (version == null) {
            ready.remove(flow);
            return;
        }
        List<Flow> others = parked.get(version);
        if (others != null) {
            others.remove(flow);
            if (others.isEmpty()) {
                parked.remove(version);
            }
        }
    }

    /** An adapter is in host memory: flows parked for it go on. Returns them, so that the caller can look at their size. */
    List<Flow> unpark(int version) {
        List<Flow> waiters = parked.remove(version);
        if (waiters == null) {
            return List.of();
        }
        for (Flow flow : waiters) {
            flow.parkedFor = null;
            makeReadyOrPark(flow);
        }
        return waiters;
    }

    /** The waiting requests that name this adapter, preempted ones apart: those have had it already. */
    List<Sequence> waitingFor(int version) {
        List<Sequence> found = new ArrayList<>();
        for (Flow flow : flows.values()) {
            for (DeviceAdapter adapter : flow.group.adapters) {
                if (adapter.version() == version) {
                    addAll(flow, found);
                }
            }
        }
        return found;
    }

    static void addAll(Flow flow, List<Sequence> into) {
        for (Sequence at = flow.first(); at != null; at = at.next) {
            into.add(at);
        }
    }

    // ---- the cursor -----------------------------------------------------------------------------------------------

    void rewind() {
        cursor = 0;
    }

    /** Who would be next, or null. */
    @Nullable
    Sequence next() {
        if (cursor < preempted.size()) {
            return preempted.get(cursor);
        }
        return ready.isEmpty() ? null : ready.peek().head();
    }

    /** The one that {@link #next} showed leaves the room. */
    void take(Sequence sequence) {
        remove(sequence);
    }

    /** The one that {@link #next} showed is passed over, and its flow with it. */
    void skip() {
        if (cursor < preempted.size()) {
            cursor++;
        } else {
            Flow flow = ready.peek();
            ready.remove(flow);
            skipped.add(flow);
        }
    }

    void restore() {
        for (int i = 0; i < skipped.size(); i++) {
            Flow flow = skipped.get(i);
            ready.add(flow, fairness.rank(flow), flow.head().order);
        }
        skipped.clear();
    }

    void verify() {
        ready.verify();
        int waiting = preempted.size();
        long wanted = 0;
        for (Sequence sequence : preempted) {
            wanted += sequence.total();
        }
        for (Flow flow : flows.values()) {
            Check.state(
                    flow.inHeap() == (flow.group.missing() == null),
                    () -> "a flow is " + (flow.inHeap() ? "ready" : "parked") + " against its adapter's state");
            waiting += flow.waiting();
            for (Sequence at = flow.first(); at != null; at = at.next) {
                wanted += at.total();
            }
        }
        boolean exact = waiting == count && wanted == tokens && skipped.isEmpty();
        Check.state(exact, () -> "the waiting room's counts are not conserved");
    }
}
