package io.chorale.core.sched;

/** How long it lately took from one admission to the next, while requests waited. */
final class AdmissionRate {
    private static final int WINDOW_ADMISSIONS = 8;
    private static final long WINDOW_NANOS = 1_000_000_000;

    private long windowNanos;
    private int windowAdmissions;
    private long nanos;

    void observe(long elapsedNanos, int admitted, int waiting) {
        if (waiting == 0 && admitted == 0) {
            return; // nobody is held up
        }
        windowNanos += elapsedNanos;
        windowAdmissions += admitted;
        if (windowAdmissions >= WINDOW_ADMISSIONS || (windowNanos >= WINDOW_NANOS && windowAdmissions > 0)) {
            long sample = windowNanos / windowAdmissions;
            nanos = nanos == 0 ? sample : (nanos + sample) / 2;
            windowNanos = 0;
            windowAdmissions = 0;
        }
    }

    /** 0 while nothing was measured. */
    long nanos() {
        return nanos;
    }
}
