package io.chorale.adapter;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** Counts the requests for each version: written by the serving thread alone, without allocating once a version is known. */
final class AdapterUses {
    private static final class Count {
        volatile long requests;
        volatile long lastNanos;
    }

    private final Map<Integer, Count> byVersion = new ConcurrentHashMap<>();

    @SuppressWarnings("NonAtomicVolatileUpdate") // one writer
    void count(int version, long nowNanos) {
        Count count = byVersion.get(version);
        if (count == null) {
            count = new Count();
            byVersion.put(version, count);
        }
        count.lastNanos = nowNanos;
        count.requests++;
    }

    AdapterUse of(int version) {
        Count count = byVersion.get(version);
        return count == null ? AdapterUse.NONE : new AdapterUse(count.requests, count.lastNanos);
    }

    void forget(int version) {
        byVersion.remove(version);
    }
}
