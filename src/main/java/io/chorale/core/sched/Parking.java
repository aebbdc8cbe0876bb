package io.chorale.core.sched;

import io.chorale.core.memory.DeviceAdapter;
import io.chorale.core.model.Check;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Flows whose adapter is not in host memory yet: they wait for it, and are in nobody's way. */
final class Parking {
    private final Map<Integer, List<Flow>> byVersion = new LinkedHashMap<>();

    /** Parks a flow that lacks an adapter; false: it lacks none. */
    boolean park(Flow flow) {
        DeviceAdapter missing = flow.group.missing();
        if (missing == null) {
            return false;
        }
        flow.parkedFor = missing.version();
        byVersion
                .computeIfAbsent(missing.version(), version -> new ArrayList<>())
                .add(flow);
        return true;
    }

    /** A request of a parked flow has gone. */
    void left(Flow flow, int version) {
        List<Flow> others = byVersion.get(version);
        if (flow.waiting() == 0 && others != null) {
            others.remove(flow);
            flow.parkedFor = null;
            if (others.isEmpty()) {
                byVersion.remove(version);
            }
        }
    }

    /** The flows that waited for this adapter, parked no more. */
    List<Flow> take(int version) {
        List<Flow> waiters = byVersion.remove(version);
        if (waiters == null) {
            return List.of();
        }
        for (Flow flow : waiters) {
            flow.parkedFor = null;
        }
        return waiters;
    }

    /** The requests that wait for this adapter to come to host memory, or for another one and this one too. */
    List<Sequence> waitingFor(int version) {
        List<Sequence> found = new ArrayList<>();
        for (List<Flow> flows : byVersion.values()) {
            for (Flow flow : flows) {
                for (DeviceAdapter adapter : flow.group.adapters) {
                    if (adapter.version() == version) {
                        addAll(flow, found);
                    }
                }
            }
        }
        return found;
    }

    private static void addAll(Flow flow, List<Sequence> into) {
        for (Sequence at = flow.first(); at != null; at = at.next) {
            into.add(at);
        }
    }

    /** How many requests wait here, and how many tokens they want computed. */
    record Load(int requests, long tokens) {}

    Load verify() {
        int requests = 0;
        long tokens = 0;
        for (List<Flow> others : byVersion.values()) {
            for (Flow flow : others) {
                Check.state(flow.group.missing() != null, () -> "a flow is parked although its adapter is there");
                requests += flow.waiting();
                tokens += flow.tokens();
            }
        }
        return new Load(requests, tokens);
    }
}
