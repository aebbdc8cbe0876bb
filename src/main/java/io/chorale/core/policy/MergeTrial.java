package io.chorale.core.policy;

/**
 * When merging is tried for a few steps although nobody knows whether it pays: only for an adapter that has had three quarters
 * of the sequences for long without a break, as merging could not pay otherwise, and so seldom that trials which turn out badly cost a
 * thousandth of the time that is worked. What the steps take teaches the cost model; nothing is measured here.
 */
final class MergeTrial {
    /** Merged steps of a trial: it ends when it is known whether merging pays, or when it could have been. */
    private static final int STEPS_MIN = 16;

    private static final int STEPS_MAX = 256;
    /** Decoded rows that the adapter must have had in an unbroken lead. */
    private static final long LEAD_ROWS = 4_096;
    /** It leads while others have at most this part of the sequences. */
    private static final int OTHERS_PART = 4;

    /** A saving that may be smaller than this part of a step is not looked for. */
    private static final int GAIN_PART = 50;
    /** What trials may cost, as a part of the time that is worked. */
    private static final long COST_PART = 1_000;

    private int leader = -1;
    private long leadRows;
    private long workedNanos;
    private long notBeforeNanos;
    private long stepNanos;
    private int stepsDone;
    private long priceNanos;
    private boolean running;

    /** A step is about to be planned. */
    void watch(BatchDemand batch, int most, long unmergedNanos) {
        stepNanos = unmergedNanos;
        workedNanos += unmergedNanos;
        int rows = batch.running[most];
        boolean leads = rows >= batch.sequences() - batch.sequences() / OTHERS_PART;
        if (!leads || batch.version[most] != leader) {
            leadRows = 0;
            leader = batch.version[most];
        }
        leadRows += leads ? rows : 0;
    }

    /** Whether one may begin, if merging saved so much a step for so many steps. */
    boolean pays(long gainNanos, long steps, long priceNanos) {
        return leadRows >= LEAD_ROWS
                && workedNanos >= notBeforeNanos
                && steps > STEPS_MIN
                && gainNanos * steps >= priceNanos
                && gainNanos >= stepNanos / GAIN_PART;
    }

    /** @param priceNanos of the switch */
    void begin(long priceNanos) {
        this.priceNanos = priceNanos;
        stepsDone = 0;
        running = true;
    }

    boolean running() {
        return running;
    }

    /** Counts a merged step; false: there were enough. */
    boolean goesOn(boolean known) {
        if (stepsDone >= (known ? STEPS_MIN : STEPS_MAX)) {
            return false;
        }
        stepsDone++;
        return true;
    }

    /** It is over, perhaps because its adapter has gone: what it has cost is to be made up for by time. */
    void end(long gainNanos) {
        notBeforeNanos = workedNanos + COST_PART * (priceNanos + stepsDone * Math.max(0, -gainNanos));
        running = false;
    }
}
