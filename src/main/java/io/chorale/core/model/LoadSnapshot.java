package io.chorale.core.model;

/**
 * What the scheduler looked like after one step: for the door, metrics and the console. Immutable, any thread.
 *
 * <p>Counters only grow while the server runs. {@code pagesKv + pagesAdapter + pagesFree + pagesQuarantined +
 * prefixes.pagesCached = pagesTotal}.
 *
 * @param takenNanos on the clock of the serving loop
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
        long takenNanos,
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

    public LoadSnapshot(
            long takenNanos,
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
            long queueNanosEstimate) {
        this(
                takenNanos,
                waitingRequests,
                runningSequences,
                waitingTokens,
                pagesTotal,
                pagesKv,
                pagesAdapter,
                pagesFree,
                pagesQuarantined,
                residentAdapters,
                steps,
                rows,
                answerTokens,
                stepsFailed,
                preemptions,
                evictions,
                adapterLoads,
                earlyAborts,
                queueNanosEstimate,
                SchedulingState.IDLE,
                PrefixState.EMPTY);
    }

    /** Before the first step. */
    public static LoadSnapshot idle(int pagesTotal) {
        return new LoadSnapshot(0, 0, 0, 0, pagesTotal, 0, 0, pagesTotal, 0, new int[0], 0, 0, 0, 0, 0, 0, 0, 0, 0);
    }
}
