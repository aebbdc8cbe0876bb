package io.chorale.workload;

import java.util.OptionalLong;

/**
 * When a client that was refused tries again, as the OpenAI SDKs do: {@code retriesMax} times, after what the server's
 * {@code Retry-After} says when that is at most a minute, else after half a second doubled each time, at most eight, less up
 * to a quarter at random.
 */
public record RetryRule(int retriesMax) {
    public static final RetryRule OPENAI = new RetryRule(2);
    public static final RetryRule NEVER = new RetryRule(0);

    private static final long FIRST_NANOS = 500_000_000L;
    private static final long LONGEST_NANOS = 8_000_000_000L;
    private static final long RETRY_AFTER_NANOS_MAX = 60_000_000_000L;
    private static final double JITTER = 0.25;

    public RetryRule {
        if (retriesMax < 0) {
            throw new IllegalArgumentException("retries must not be negative");
        }
    }

    /**
     * How long to wait before the next try; empty: the client gives up.
     *
     * @param retriesDone tries after the first one
     * @param retryAfterNanos what the server asked for; 0: nothing
     * @param random uniform in [0, 1)
     */
    public OptionalLong delayNanos(int retriesDone, long retryAfterNanos, double random) {
        if (retriesDone >= retriesMax) {
            return OptionalLong.empty();
        }
        if (retryAfterNanos > 0 && retryAfterNanos <= RETRY_AFTER_NANOS_MAX) {
            return OptionalLong.of(retryAfterNanos);
        }
        long doubled = Math.min(LONGEST_NANOS, FIRST_NANOS << Math.min(retriesDone, 10));
        return OptionalLong.of((long) (doubled * (1 - JITTER * random)));
    }
}
