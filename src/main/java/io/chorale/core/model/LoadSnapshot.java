package io.chorale.core.model;

/**
 * What the scheduler looked like after one step: for the door, metrics and the console. Immutable, any thread.
 *
 * <p>Counters only grow while the server runs. {@code pagesKv + pagesAdapter + pagesFree + pagesQuarantined +
 * prefixes.pagesCached = pagesTotal}.
 *
 * @param waitingRequests accepted and not running, preempted ones included
 * @param waitingTokens tokens that the waiting requests want computed
 * @param pagesQuarantined freed while a step was in flight, free again when it has ended
 * @param residentAdapters versions on the device; never changed after construction
 * @param steps steps begun
 * @param rows tokens computed in them, recomputed ones included
 * @param answerTokens tokens sent to clients
 * @param queueNanosEstimate time until a request that comes now and has to wait for all others would start
 * @param scheduling how scheduling goes
 * @param prefixes how much of what comes was computed before
 */
public record LoadSnapshot(
        int waitingRequests,
        int runningSequences,
        long waitingTokens,
        int pagesTotal,
        int pagesKv,
        int pagesAdapter,
        int pagesFree,
        int pagesQuarantined,
        int[] residentAdapters,
        long steps,
        long rows,
        long answerTokens,
        long stepsFailed,
        long preemptions,
        long evictions,
        long adapterLoads,
        long earlyAborts,
        long queueNanosEstimate,
        SchedulingState scheduling,
        PrefixState prefixes) {

    /** Before the first step. */
    public static LoadSnapshot idle(int pagesTotal) {
        return waiting(0, 0, pagesTotal, 0);
    }

    /** Nothing runs, and so much waits; {@code queueNanos} is the estimate of the time until a newcomer would start. */
    public static LoadSnapshot waiting(int requests, long tokens, int pagesTotal, long queueNanos) {
        return new LoadSnapshot(
                requests,
                0,
                tokens,
                pagesTotal,
                0,
                0,
                pagesTotal,
                0,
                new int[0],
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                queueNanos,
                SchedulingState.IDLE,
                PrefixState.EMPTY);
    }
}
