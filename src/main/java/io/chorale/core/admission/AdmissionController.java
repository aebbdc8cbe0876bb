package io.chorale.core.admission;

import io.chorale.core.model.LoadSnapshot;
import io.chorale.core.model.Rejection;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SchedulingState;

/**
 * The door: decides from the last snapshot, before anything is queued, whether a request comes in. Pure; any thread.
 *
 * <p>A snapshot is a step old, and many threads ask at once. So the caller counts the requests that it let in and that
 * the snapshot does not show yet, and passes their number.
 */
public final class AdmissionController {
    private static final long RETRY_NANOS_MIN = 1_000_000_000L;
    private static final long RETRY_NANOS_MAX = 60_000_000_000L;

    /** What the door says. */
    public sealed interface Decision {
        /** Come in. */
        record Accept() implements Decision {}

        /**
         * Stay out.
         *
         * @param retryAfterNanos when it may be tried again; 0 when that is of no use
         * @param detail a sentence for the client
         */
        record Reject(Rejection reason, long retryAfterNanos, String detail) implements Decision {}
    }

    private static final Decision ACCEPT = new Decision.Accept();

    private final AdmissionLimits limits;

    public AdmissionController(AdmissionLimits limits) {
        this.limits = limits;
    }

    /** The same door before another queue. */
    public AdmissionController queueing(int requestsMax, long tokensMax) {
        return new AdmissionController(new AdmissionLimits(
                limits.runningMax(),
                requestsMax,
                tokensMax,
                limits.contextMax(),
                limits.geometry(),
                limits.prefillChunkTokens(),
                limits.refusesLost()));
    }

    /** Requests that an idle server lets in at once: those that may run, and those that may wait. */
    public int requestsMax() {
        return Math.toIntExact(Math.min(Integer.MAX_VALUE, (long) limits.runningMax() + limits.queueRequestsMax()));
    }

    /** Sequences that may run at once. */
    public int runningMax() {
        return limits.runningMax();
    }

    /**
     * @param adapterPages pages of its adapters as far as they are known, 0 otherwise: the scheduler asks again
     * @param onTheWay requests let in that the snapshot does not show yet
     * @param tenantRequests of its tenant behind the door already
     */
    public Decision decide(
            RequestSpec spec, int adapterPages, LoadSnapshot snapshot, int onTheWay, int tenantRequests) {
        int promptTokens = spec.promptTokens().length;
        long tokens = (long) promptTokens + spec.sampling().tokensMax();
        if (tokens > limits.contextMax()) {
            return new Decision.Reject(
                    Rejection.CONTEXT_EXCEEDED,
                    0,
                    "the context holds " + limits.contextMax() + " tokens, but " + promptTokens
                            + " of the prompt and up to " + spec.sampling().tokensMax()
                            + " of the answer were asked for");
        }
        int pages = limits.geometry().pagesFor((int) tokens - 1) + adapterPages;
        if (pages > limits.geometry().pageCount()) {
            return new Decision.Reject(
                    Rejection.NEVER_FITS,
                    0,
                    "the request needs up to " + pages + " pages with its adapters, the pool has "
                            + limits.geometry().pageCount());
        }
        // Where nobody waits, as many as may still run do not come to wait.
        int free = snapshot.waitingRequests() > 0 ? 0 : Math.max(0, limits.runningMax() - snapshot.runningSequences());
        if ((long) snapshot.waitingRequests() + onTheWay >= (long) limits.queueRequestsMax() + free) {
            return busy(Rejection.QUEUE_FULL, snapshot, "as many requests wait as may: " + limits.queueRequestsMax());
        }
        if (snapshot.waitingTokens() > 0 && snapshot.waitingTokens() + promptTokens > limits.queueTokensMax()) {
            return busy(
                    Rejection.QUEUE_TOKENS_FULL,
                    snapshot,
                    "the waiting requests have as many tokens as they may: " + limits.queueTokensMax());
        }
        if (limits.refusesLost() && spec.ttftNanosMax() > 0) {
            long ttft = ttftNanosEstimate(spec, snapshot, onTheWay, tenantRequests);
            if (ttft > spec.ttftNanosMax()) {
                return new Decision.Reject(
                        Rejection.SLO_UNREACHABLE,
                        Math.clamp(ttft - spec.ttftNanosMax(), RETRY_NANOS_MIN, RETRY_NANOS_MAX),
                        "a first token is expected in " + ttft / 1_000_000 + " ms, the objective is "
                                + spec.ttftNanosMax() / 1_000_000 + " ms");
            }
        }
        return ACCEPT;
    }

    /**
     * When the first token of a request can be expected: the step under way, its turn among those who wait, and its
     * prompt. Service is shared between tenants, so it waits for no more than its tenant's requests times the tenants; and
     * not for those either where the tenant's latest request goes first.
     */
    public long ttftNanosEstimate(RequestSpec spec, LoadSnapshot snapshot, int onTheWay, int tenantRequests) {
        SchedulingState state = snapshot.scheduling();
        int promptTokens = spec.promptTokens().length;
        long steps = Math.ceilDiv(promptTokens, limits.prefillChunkTokens());
        long own = (1 + steps) * state.stepNanos() + promptTokens * state.prefillTokenNanos();
        long before = (long) snapshot.waitingRequests() + onTheWay;
        boolean runsAtOnce =
                snapshot.waitingRequests() == 0 && snapshot.runningSequences() + (long) onTheWay < limits.runningMax();
        if (runsAtOnce) {
            return own;
        }
        long round = Math.max(1, state.tenantsWaiting());
        long fairly = state.goesFirst(spec.tenant()) ? round : (tenantRequests + 1L) * round;
        return own + Math.min(before, fairly) * state.admissionNanos();
    }

    private static Decision busy(Rejection reason, LoadSnapshot snapshot, String detail) {
        long retryAfter = Math.clamp(snapshot.queueNanosEstimate(), RETRY_NANOS_MIN, RETRY_NANOS_MAX);
        return new Decision.Reject(reason, retryAfter, detail);
    }
}
