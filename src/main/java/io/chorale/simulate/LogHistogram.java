package io.chorale.simulate;

/** Counts of durations in buckets that grow by 2 % each, so that a quantile is right within 1 % whatever its size. */
final class LogHistogram {
    private static final double GROWTH = Math.log(1.02);
    private static final double SMALLEST_NANOS = 1e3;
    private static final int BUCKETS = 1200; // up to about 21,000 s

    private final long[] counts = new long[BUCKETS];
    private long count;
    private long maxNanos;
    private long lastNanos = -1;
    private int lastBucket;

    void add(long nanos) {
        // Tokens of one step mostly have one and the same gap: ask the logarithm once for all of them.
        if (nanos != lastNanos) {
            lastNanos = nanos;
            double bucket = Math.log(Math.max(1, nanos / SMALLEST_NANOS)) / GROWTH;
            lastBucket = Math.min(BUCKETS - 1, (int) bucket);
            maxNanos = Math.max(maxNanos, nanos);
        }
        counts[lastBucket]++;
        count++;
    }

    long count() {
        return count;
    }

    /** The duration that a share {@code q} of all stays at or below; NaN when there are none. */
    double quantileSeconds(double q) {
        long rank = (long) Math.ceil(q * count);
        long passed = 0;
        for (int i = 0; i < BUCKETS; i++) {
            passed += counts[i];
            if (passed >= rank && passed > 0) {
                return Math.min((double) maxNanos, SMALLEST_NANOS * Math.exp((i + 0.5) * GROWTH)) / 1e9;
            }
        }
        return Double.NaN;
    }
}
