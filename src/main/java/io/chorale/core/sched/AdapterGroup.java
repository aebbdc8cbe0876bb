package io.chorale.core.sched;

import io.chorale.core.memory.AdapterResidency;
import io.chorale.core.memory.DeviceAdapter;
import io.chorale.core.model.AdapterSet;
import org.jspecify.annotations.Nullable;

/** One adapter set that live requests use, interned, so that equal sets are one object and rows can be grouped by it. */
final class AdapterGroup {
    final AdapterSet set;
    final DeviceAdapter[] adapters;
    int users;

    /** Its flows in line, in the order in which they came to it. */
    @Nullable
    Flow firstFlow;

    @Nullable
    Flow lastFlow;

    /** Its running sequences. */
    int running;

    /** The last of the walks in which it was seen: each group is looked at once a walk. */
    long seenInWalk;

    /** The same for the demand of a batch, and its index there; -1: it cannot be merged. */
    long seenInDemand;

    int demandIndex;

    /** Its sequences in the plan being written. */
    @Nullable
    Sequence firstInStep;

    @Nullable
    Sequence lastInStep;

    AdapterGroup(AdapterSet set, AdapterResidency residency) {
        this.set = set;
        adapters = new DeviceAdapter[set.versions().length];
        for (int i = 0; i < adapters.length; i++) {
            adapters[i] = residency.use(set.versions()[i]);
        }
    }

    void link(Flow flow) {
        flow.previousOfGroup = lastFlow;
        if (lastFlow == null) {
            firstFlow = flow;
        } else {
            lastFlow.nextOfGroup = flow;
        }
        lastFlow = flow;
    }

    void unlink(Flow flow) {
        Flow previous = flow.previousOfGroup;
        Flow next = flow.nextOfGroup;
        if (previous == null) {
            firstFlow = next;
        } else {
            previous.nextOfGroup = next;
        }
        if (next == null) {
            lastFlow = previous;
        } else {
            next.previousOfGroup = previous;
        }
        flow.previousOfGroup = null;
        flow.nextOfGroup = null;
    }

    boolean uses(DeviceAdapter wanted) {
        for (DeviceAdapter adapter : adapters) {
            if (adapter == wanted) {
                return true;
            }
        }
        return false;
    }

    /** The first adapter that is not in host memory, or null. */
    @Nullable
    DeviceAdapter missing() {
        for (DeviceAdapter adapter : adapters) {
            if (!adapter.onHost()) {
                return adapter;
            }
        }
        return null;
    }
}
