package io.chorale.core.policy;

/** Which waiting requests are already lost. */
public interface EarlyAbortPolicy {
    long NEVER = Long.MAX_VALUE;

    /**
     * When a request that still waits cannot meet its time to first token any more; {@link #NEVER} if it has none. Asked
     * once, when the request comes, so that finding the lost ones costs nothing while none is.
     */
    long hopelessAtNanos(SequenceView request);

    /** Nobody is given up. */
    record Never() implements EarlyAbortPolicy {
        @Override
        public long hopelessAtNanos(SequenceView request) {
            return NEVER;
        }
    }

    /** S-LoRA's rule, App. B: lost when the wait and its own prefill together exceed the objective. */
    record TtftRule(StepCostModel costs) implements EarlyAbortPolicy {
        @Override
        public long hopelessAtNanos(SequenceView request) {
            if (request.ttftNanosMax() == 0) {
                return NEVER;
            }
            int tokens = request.promptTokens();
            long prefillNanos = costs.stepNanos(new StepShape().rows(tokens, tokens));
            return request.arrivalNanos() + Math.max(0, request.ttftNanosMax() - prefillNanos);
        }
    }
}
