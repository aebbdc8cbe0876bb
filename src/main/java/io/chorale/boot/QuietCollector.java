package io.chorale.boot;

import java.util.function.IntSupplier;
import java.util.function.LongSupplier;

/**
 * Has the heap collected as a whole when hardly anybody waits for an answer. The native executable's collector copies what
 * lives, which with hundreds of streams takes longer than from one token to the next, and with few of them some
 * milliseconds: so whatever finished streams have left behind goes in a quiet moment, and the heap seldom grows to where
 * the collector itself would choose a busy one. One thread.
 */
final class QuietCollector {
    static final long LOOK_EVERY_MILLIS = 250;

    /** Requests at which a collection is still short. */
    private static final int REQUESTS_MAX = 16;

    private final long growthBytesMax;
    private final IntSupplier requests;
    private final LongSupplier usedBytes;
    private final Runnable collect;
    private long usedBytesBefore = Long.MAX_VALUE;
    private boolean wasQuiet;

    /**
     * @param growthBytesMax what the heap may grow by before it is collected
     * @param requests in the house at this moment
     * @param usedBytes of the heap, garbage included
     */
    QuietCollector(long growthBytesMax, IntSupplier requests, LongSupplier usedBytes, Runnable collect) {
        this.growthBytesMax = growthBytesMax;
        this.requests = requests;
        this.usedBytes = usedBytes;
        this.collect = collect;
    }

    /** To be called from time to time: it is quiet when it was so twice. */
    void look() {
        long used = usedBytes.getAsLong();
        // Lower than it was: the collector had a reason of its own meanwhile.
        usedBytesBefore = Math.min(usedBytesBefore, used);
        boolean isQuiet = requests.getAsInt() <= REQUESTS_MAX;
        if (isQuiet && wasQuiet && used - usedBytesBefore > growthBytesMax) {
            collect.run();
            usedBytesBefore = usedBytes.getAsLong();
        }
        wasQuiet = isQuiet;
    }
}
