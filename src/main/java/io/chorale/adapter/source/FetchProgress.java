package io.chorale.adapter.source;

import java.util.Locale;
import java.util.concurrent.atomic.AtomicLong;

/** How far a fetch is, for those who wait for it. Any thread. */
public final class FetchProgress {
    private final AtomicLong bytes = new AtomicLong();
    private volatile String what = "nothing yet";
    private volatile long bytesTotal;

    /** Something else begins, which is not counted in bytes until {@link #expect}. */
    public void begin(String what) {
        bytesTotal = 0;
        this.what = what;
    }

    /** @param total 0 where nobody knows */
    void expect(long total) {
        bytesTotal = total;
    }

    void gained(long count) {
        bytes.addAndGet(count);
    }

    /** Bytes that are here. */
    public long bytes() {
        return bytes.get();
    }

    /** What is done, and how much of it, in a few words. */
    public String sentence() {
        long total = bytesTotal;
        return total == 0 ? what : what + ", " + megabytes(bytes()) + " of " + megabytes(total) + " MB";
    }

    static String megabytes(long bytes) {
        return String.format(Locale.ROOT, bytes < 10_000_000 ? "%.1f" : "%.0f", bytes / 1e6);
    }
}
