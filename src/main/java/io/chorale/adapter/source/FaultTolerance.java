package io.chorale.adapter.source;

import io.smallrye.faulttolerance.api.CircuitBreakerState;
import io.smallrye.faulttolerance.api.Guard;
import java.io.IOException;
import java.time.Duration;
import java.time.temporal.ChronoUnit;
import org.eclipse.microprofile.faulttolerance.exceptions.TimeoutException;

/**
 * Guards sources with SmallRye Fault Tolerance: each has a bulkhead, a circuit breaker, retries with growing pauses and
 * jitter, and a time limit a try, so that one that hangs holds up nobody but those who ask for it.
 */
public final class FaultTolerance {
    /** After half of so many calls failed, a source is left alone for a while. */
    private static final int BREAKER_CALLS = 6;

    /**
     * The bounds.
     *
     * @param tryMax time that one try may take
     * @param retriesMax tries after the first
     * @param pause before the second try; doubles from try to try
     * @param breakerPause how long a source that fails is left alone
     * @param callsMax at the same time, of one source
     */
    public record Limits(Duration tryMax, int retriesMax, Duration pause, Duration breakerPause, int callsMax) {}

    private final Limits limits;
    private final SourceEvents events;

    public FaultTolerance(Limits limits, SourceEvents events) {
        this.limits = limits;
        this.events = events;
    }

    /** A guard for one source. */
    SourceGuard guard(String source) {
        Guard guard = Guard.create()
                .withDescription(source)
                .withThreadOffload(false)
                .withBulkhead()
                .limit(limits.callsMax())
                .onRejected(() -> events.count(SourceEvents.Event.REJECTED))
                .done()
                .withTimeout()
                .duration(limits.tryMax().toMillis(), ChronoUnit.MILLIS)
                .onTimeout(() -> events.count(SourceEvents.Event.TIMED_OUT))
                .done()
                .withCircuitBreaker()
                .when(FaultTolerance::isFault)
                .requestVolumeThreshold(BREAKER_CALLS)
                .failureRatio(0.5)
                .delay(limits.breakerPause().toMillis(), ChronoUnit.MILLIS)
                .onStateChange(state -> events.breaker(source, state == CircuitBreakerState.OPEN))
                .onPrevented(() -> events.count(SourceEvents.Event.PREVENTED))
                .done()
                .withRetry()
                .whenException(FaultTolerance::isFault)
                .maxRetries(limits.retriesMax())
                .maxDuration(1, ChronoUnit.DAYS)
                .delay(limits.pause().toMillis(), ChronoUnit.MILLIS)
                .jitter(limits.pause().toMillis() / 2, ChronoUnit.MILLIS)
                .withExponentialBackoff()
                .done()
                .onRetry(() -> events.count(SourceEvents.Event.RETRIED))
                .onSuccess(() -> events.count(SourceEvents.Event.SUCCEEDED))
                .onFailure(() -> events.count(SourceEvents.Event.FAILED))
                .done()
                .build();
        return guard::call;
    }

    /** What may be otherwise the next time; a refusal will not. */
    private static boolean isFault(Throwable failure) {
        return failure instanceof IOException || failure instanceof TimeoutException;
    }
}
