package io.chorale.adapter.source;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;

/** What has happened at all sources since the start, for the metrics. Any thread. */
public final class SourceEvents {
    /** What can happen at a source. */
    public enum Event {
        /** A call went well. */
        SUCCEEDED,
        /** A call failed for good. */
        FAILED,
        /** A call was tried again. */
        RETRIED,
        /** A try took too long. */
        TIMED_OUT,
        /** A call found all places taken. */
        REJECTED,
        /** A call was not made because the source has failed too often. */
        PREVENTED
    }

    private final Map<Event, LongAdder> counts = new ConcurrentHashMap<>();
    private final Map<String, Boolean> open = new ConcurrentHashMap<>();

    void count(Event event) {
        counts.computeIfAbsent(event, unseen -> new LongAdder()).increment();
    }

    public long of(Event event) {
        LongAdder count = counts.get(event);
        return count == null ? 0 : count.sum();
    }

    void breaker(String source, boolean isOpen) {
        open.put(source, isOpen);
    }

    /** Sources that are not called for the time being. */
    public long openBreakers() {
        return open.values().stream().filter(isOpen -> isOpen).count();
    }
}
