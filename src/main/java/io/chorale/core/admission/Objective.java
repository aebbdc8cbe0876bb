package io.chorale.core.admission;

import io.chorale.core.model.Check;

/**
 * What a class of requests may ask of the time to first token.
 *
 * @param usualNanos where a request says nothing; 0: none
 * @param minNanos what it asks for counts as no less
 * @param maxNanos and as no more
 */
public record Objective(long usualNanos, long minNanos, long maxNanos) {
    public Objective {
        Check.argument(minNanos > 0 && minNanos <= maxNanos, () -> "an objective's bounds must be positive and ascend");
        Check.argument(usualNanos >= 0, () -> "an objective must not be negative");
    }

    public long within(long askedNanos) {
        return Math.clamp(askedNanos, minNanos, maxNanos);
    }
}
