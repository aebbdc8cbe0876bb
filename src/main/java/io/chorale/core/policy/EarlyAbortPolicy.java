package io.chorale.core.policy;

/** Which waiting requests are already lost. */
public interface EarlyAbortPolicy {
    long NEVER = Long.MAX_VALUE;

    /**
     * From when on a request that still waits cannot meet its time to first token any more; {@link #NEVER} if it has none,
     * and at the latest when its time is over. Asked when the request comes and again before it is given up, so that
     * finding the lost ones costs nothing while none is.
     */
    long hopelessAtNanos(SequenceView request, TtftForecast forecast);

    /** Nobody is given up. */
    record Never() implements EarlyAbortPolicy {
        @Override
        public long hopelessAtNanos(SequenceView request, TtftForecast forecast) {
            return NEVER;
        }
    }

    /** S-LoRA's rule, App. B, with its constant: lost when the wait and the prefill together exceed the objective. */
    record ConstantEstimate(long prefillNanos) implements EarlyAbortPolicy {
        @Override
        public long hopelessAtNanos(SequenceView request, TtftForecast forecast) {
            return latestStart(request, prefillNanos);
        }
    }

    /** The same rule with what prefill and upload take now. */
    record MeasuredEstimate() implements EarlyAbortPolicy {
        @Override
        public long hopelessAtNanos(SequenceView request, TtftForecast forecast) {
            return request.ttftNanosMax() == 0 ? NEVER : latestStart(request, forecast.nanosToFirstToken(request));
        }
    }

    private static long latestStart(SequenceView request, long prefillNanos) {
        return request.ttftNanosMax() == 0
                ? NEVER
                : request.arrivalNanos() + Math.max(0, request.ttftNanosMax() - prefillNanos);
    }
}
