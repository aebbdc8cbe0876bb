package io.chorale.serving;

import io.chorale.core.admission.Quota;
import io.chorale.core.admission.TenantTerms;
import io.chorale.core.admission.TokenBucket;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Who pays: its terms, and what it has had of them.
 *
 * <table>
 * <caption>Who writes what</caption>
 * <tr><td>places</td><td>any thread at the door, the serving thread when a request ends</td></tr>
 * <tr><td>the buckets, refusedUntilNanos</td><td>the serving thread; the door reads</td></tr>
 * </table>
 */
public final class Tenant {
    private static final long NOT_REFUSED = Long.MIN_VALUE;

    private final int index;
    private final String name;
    private final TenantTerms terms;
    private final TokenBucket requests;
    private final TokenBucket tokens;
    private final AtomicInteger places = new AtomicInteger();
    private volatile long refusedUntilNanos = NOT_REFUSED;

    Tenant(int index, String name, TenantTerms terms, long nowNanos) {
        this.index = index;
        this.name = name;
        this.terms = terms;
        Quota quota = terms.quota();
        requests = new TokenBucket(quota.requestsPerSecond(), quota.burstSeconds(), nowNanos);
        tokens = new TokenBucket(quota.tokensPerSecond(), quota.burstSeconds(), nowNanos);
    }

    /** Its number in a {@link io.chorale.core.model.RequestSpec}. */
    public int index() {
        return index;
    }

    public String name() {
        return name;
    }

    public TenantTerms terms() {
        return terms;
    }

    // The door's side, any thread.

    /** Takes places if there are as many for the tenant; otherwise nothing changes. */
    boolean takePlaces(int count, int most) {
        if (places.addAndGet(count) <= most) {
            return true;
        }
        places.addAndGet(-count);
        return false;
    }

    void freePlaces(int count) {
        places.addAndGet(-count);
    }

    int placesTaken() {
        return places.get();
    }

    /** How long it is refused for what it has had already; 0: it is not. */
    long refusedNanos(long nowNanos) {
        long until = refusedUntilNanos;
        return until == NOT_REFUSED ? 0 : Math.max(0, until - nowNanos);
    }

    // The serving thread's side.

    /**
     * Charges a request with its prompt.
     *
     * @return how long the tenant has to wait before it may have it; nothing was charged unless that is 0
     */
    long chargeRequest(int promptTokens, long nowNanos) {
        long wait = waitNanos(nowNanos);
        if (wait == 0) {
            requests.take(1, nowNanos);
            tokens.take(promptTokens, nowNanos);
            publish(nowNanos);
        }
        return wait;
    }

    void chargeToken(long nowNanos) {
        if (terms.quota().tokensPerSecond() > 0) {
            tokens.take(1, nowNanos);
            publish(nowNanos);
        }
    }

    private long waitNanos(long nowNanos) {
        Quota quota = terms.quota();
        long forRequests = quota.requestsPerSecond() == 0 ? 0 : requests.nanosUntil(1, nowNanos);
        long forTokens = quota.tokensPerSecond() == 0 ? 0 : tokens.nanosUntil(1, nowNanos);
        return Math.max(forRequests, forTokens);
    }

    private void publish(long nowNanos) {
        long wait = waitNanos(nowNanos);
        refusedUntilNanos = wait == 0 ? NOT_REFUSED : nowNanos + wait;
    }
}
