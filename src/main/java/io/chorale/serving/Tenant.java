package io.chorale.serving;

import io.chorale.core.admission.Quota;
import io.chorale.core.admission.TenantTerms;
import io.chorale.core.admission.TokenBucket;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * Who pays: its terms, and what it has had of them.
 *
 * <table>
 * <caption>Who writes what</caption>
 * <tr><td>places</td><td>any thread at the door, the serving thread when a request ends</td></tr>
 * <tr><td>what is in an account</td><td>the serving thread; the door reads</td></tr>
 * <tr><td>which account</td><td>whoever changes the terms</td></tr>
 * </table>
 */
public final class Tenant {
    private static final long NOT_REFUSED = Long.MIN_VALUE;

    private final int index;
    private final String name;
    private final @Nullable Tenant namedBy;
    private volatile Account account;
    private final AtomicInteger places = new AtomicInteger();

    /** The terms, and what is left of them. */
    private static final class Account {
        final TenantTerms terms;
        final TokenBucket requests;
        final TokenBucket tokens;
        volatile long refusedUntilNanos = NOT_REFUSED;

        Account(TenantTerms terms, long nowNanos) {
            Quota quota = terms.quota();
            this.terms = terms;
            requests = new TokenBucket(quota.requestsPerSecond(), quota.burstSeconds(), nowNanos);
            tokens = new TokenBucket(quota.tokensPerSecond(), quota.burstSeconds(), nowNanos);
        }

        long waitNanos(long nowNanos) {
            Quota quota = terms.quota();
            long forRequests = quota.requestsPerSecond() == 0 ? 0 : requests.nanosUntil(1, nowNanos);
            long forTokens = quota.tokensPerSecond() == 0 ? 0 : tokens.nanosUntil(1, nowNanos);
            return Math.max(forRequests, forTokens);
        }

        void publish(long nowNanos) {
            long wait = waitNanos(nowNanos);
            refusedUntilNanos = wait == 0 ? NOT_REFUSED : nowNanos + wait;
        }
    }

    /** @param namedBy the gateway whose terms it has; null: its own, or the usual ones */
    Tenant(int index, String name, TenantTerms terms, @Nullable Tenant namedBy, long nowNanos) {
        this.index = index;
        this.name = name;
        this.namedBy = namedBy;
        account = new Account(terms, nowNanos);
    }

    /** Its number in a {@link io.chorale.core.model.RequestSpec}. */
    public int index() {
        return index;
    }

    public String name() {
        return name;
    }

    public TenantTerms terms() {
        return account.terms;
    }

    @Nullable
    Tenant namedBy() {
        return namedBy;
    }

    /** Other terms from now on, with nothing owed; the same ones change nothing. */
    void serveOn(TenantTerms terms, long nowNanos) {
        if (!terms.equals(account.terms)) {
            account = new Account(terms, nowNanos);
        }
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
        long until = account.refusedUntilNanos;
        return until == NOT_REFUSED ? 0 : Math.max(0, until - nowNanos);
    }

    // The serving thread's side.

    /**
     * Charges a request with its prompt.
     *
     * @return how long the tenant has to wait before it may have it; nothing was charged unless that is 0
     */
    long chargeRequest(int promptTokens, long nowNanos) {
        Account charged = account;
        long wait = charged.waitNanos(nowNanos);
        if (wait == 0) {
            charged.requests.take(1, nowNanos);
            charged.tokens.take(promptTokens, nowNanos);
            charged.publish(nowNanos);
        }
        return wait;
    }

    void chargeToken(long nowNanos) {
        Account charged = account;
        if (charged.terms.quota().tokensPerSecond() > 0) {
            charged.tokens.take(1, nowNanos);
            charged.publish(nowNanos);
        }
    }
}
