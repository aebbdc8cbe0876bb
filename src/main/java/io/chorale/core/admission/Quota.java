package io.chorale.core.admission;

import io.chorale.core.model.Check;

/**
 * What a tenant may have at most, whatever others want; 0: as much as there is.
 *
 * @param requestsPerSecond requests that begin to wait
 * @param tokensPerSecond tokens of prompts and answers
 * @param burstSeconds for how long that much may be saved up and then had at once
 * @param concurrencyMax requests behind the door at once
 * @param queueShare of all places behind the door
 */
public record Quota(
        double requestsPerSecond, double tokensPerSecond, double burstSeconds, int concurrencyMax, double queueShare) {
    public static final Quota NONE = new Quota(0, 0, 10, 0, 0);

    public Quota {
        Check.argument(requestsPerSecond >= 0 && tokensPerSecond >= 0, () -> "rates must not be negative");
        Check.argument(burstSeconds > 0, () -> "burst must be longer than nothing");
        Check.argument(concurrencyMax >= 0, () -> "concurrency must not be negative");
        Check.argument(queueShare >= 0 && queueShare <= 1, () -> "queue share must be between 0 and 1");
    }

    /** Whether the tenant may have less than all places. */
    public boolean limitsPlaces() {
        return concurrencyMax > 0 || (queueShare > 0 && queueShare < 1);
    }

    /** Places that the tenant may take of so many. */
    public int placesMax(int all) {
        int byShare = queueShare == 0 ? all : Math.max(1, (int) (queueShare * all));
        return concurrencyMax == 0 ? byShare : Math.min(byShare, concurrencyMax);
    }
}
