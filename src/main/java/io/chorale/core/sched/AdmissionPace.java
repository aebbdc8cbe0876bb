package io.chorale.core.sched;

/** How long it lately took from one admission of a tenant to the next, while it was in line. */
final class AdmissionPace {
    private static final int WINDOW_ADMISSIONS = 8;

    private long sinceNanos;
    private int admissions;
    private long nanos;

    /** Somebody waits again after nobody did. */
    void resume(long nowNanos) {
        sinceNanos = nowNanos;
        admissions = 0;
    }

    void admitted(long nowNanos) {
        if (++admissions == WINDOW_ADMISSIONS) {
            long sample = (nowNanos - sinceNanos) / WINDOW_ADMISSIONS;
            nanos = nanos == 0 ? sample : (nanos + sample) / 2;
            resume(nowNanos);
        }
    }

    /** 0 while nothing was measured. */
    long nanos() {
        return nanos;
    }
}
