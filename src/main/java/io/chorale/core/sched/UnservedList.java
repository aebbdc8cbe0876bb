package io.chorale.core.sched;

import io.chorale.core.model.Check;
import org.jspecify.annotations.Nullable;

/**
 * Flows in line by how long nobody of them was admitted. Time only goes on, so whoever is served or comes goes to the end
 * and the list is in order without being sorted.
 */
final class UnservedList {
    private @Nullable Flow longest;
    private @Nullable Flow shortest;

    @Nullable
    Flow longest() {
        return longest;
    }

    void add(Flow flow, long nowNanos) {
        flow.unservedSinceNanos = nowNanos;
        flow.longerUnserved = shortest;
        if (shortest == null) {
            longest = flow;
        } else {
            shortest.shorterUnserved = flow;
        }
        shortest = flow;
    }

    void remove(Flow flow) {
        Flow longer = flow.longerUnserved;
        Flow shorter = flow.shorterUnserved;
        if (longer == null) {
            longest = shorter;
        } else {
            longer.shorterUnserved = shorter;
        }
        if (shorter == null) {
            shortest = longer;
        } else {
            shorter.longerUnserved = longer;
        }
        flow.longerUnserved = null;
        flow.shorterUnserved = null;
    }

    /** How many there are; they must be in order. */
    int verify() {
        int count = 0;
        long before = Long.MIN_VALUE;
        for (Flow flow = longest; flow != null; flow = flow.shorterUnserved) {
            long last = before;
            long since = flow.unservedSinceNanos;
            Check.state(since >= last, () -> "flows are not in the order of their waits");
            before = since;
            count++;
        }
        return count;
    }
}
