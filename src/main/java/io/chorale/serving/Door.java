package io.chorale.serving;

import io.chorale.core.admission.AdmissionController;
import io.chorale.core.admission.Quota;
import io.chorale.core.model.Check;
import io.chorale.core.model.LoadSnapshot;
import io.chorale.core.model.Rejection;
import io.chorale.core.model.RequestSpec;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.LongSupplier;

/**
 * Where requests come in: accepts or refuses at once, from the last published snapshot and a count of places, without
 * asking the serving thread. Any thread.
 *
 * <p>A place is held from here to the request's terminal event. The places bound everything behind the door: the inbox,
 * the tickets, the waiting room.
 */
public final class Door {
    /** One sequence that wants in. */
    public record Entrant(RequestSpec spec, TicketListener listener) {}

    /** What the door says. */
    public sealed interface Decision {
        /** @param tickets in the order of the entrants */
        record Admitted(List<RequestTicket> tickets) implements Decision {}

        /**
         * @param spec the entrant that was refused, and with it all others of the same request
         * @param retryAfter when it may be different; zero where it never is
         */
        record Refused(RequestSpec spec, Rejection reason, String detail, Duration retryAfter) implements Decision {}

        /** The service is not serving, or no more. */
        record Closed(Lifecycle.Standing standing) implements Decision {}
    }

    /** Who is let in. */
    private record Rules(AdmissionController admission, int placesMax) {
        Rules {
            Check.argument(placesMax >= 1, () -> "there must be a place for a request");
        }

        int requestsMax() {
            return Math.min(placesMax, admission.requestsMax());
        }
    }

    private static final long RETRY_NANOS_MIN = 1_000_000_000L;
    private static final long RETRY_NANOS_MAX = 60_000_000_000L;

    private volatile Rules rules;
    private final Lifecycle lifecycle;
    private final Tenants tenants;
    private final LongSupplier clock;
    private final int ticketEventsMax;

    private final Inbox inbox = new Inbox();
    private final AtomicInteger places = new AtomicInteger();
    private final AtomicLong ids = new AtomicLong();
    private final Map<Rejection, LongAdder> refusals = new EnumMap<>(Rejection.class);
    private final AtomicReference<LoadSnapshot> snapshots;

    /**
     * @param placesMax requests behind the door at once, waiting and running
     * @param ticketEventsMax events that may wait for one client
     */
    public Door(
            AdmissionController admission,
            Lifecycle lifecycle,
            Tenants tenants,
            LongSupplier clock,
            LoadSnapshot first,
            int placesMax,
            int ticketEventsMax) {
        this.rules = new Rules(admission, placesMax);
        this.lifecycle = lifecycle;
        this.tenants = tenants;
        for (Rejection reason : Rejection.values()) {
            refusals.put(reason, new LongAdder());
        }
        this.clock = clock;
        this.snapshots = new AtomicReference<>(first);
        this.ticketEventsMax = ticketEventsMax;
    }

    /** From now on these are the limits; who is behind the door stays there. */
    public void limit(int placesMax, int queueRequestsMax, long queueTokensMax) {
        rules = new Rules(rules.admission().queueing(queueRequestsMax, queueTokensMax), placesMax);
    }

    public Tenants tenants() {
        return tenants;
    }

    /** A number for a {@link RequestSpec}. */
    public long nextId() {
        return ids.incrementAndGet();
    }

    /** Now, on the clock of the serving loop. */
    public long nowNanos() {
        return clock.getAsLong();
    }

    /** The load after the last step. */
    public LoadSnapshot snapshot() {
        return snapshots.get();
    }

    /** Sequences that an idle server lets in at once. */
    public int requestsMax() {
        return rules.requestsMax();
    }

    /** Sequences that may run at once. */
    public int runningMax() {
        return rules.admission().runningMax();
    }

    public int placesTaken() {
        return places.get();
    }

    /** Requests turned away since the start for this reason. */
    public long refusals(Rejection reason) {
        return refusals.getOrDefault(reason, new LongAdder()).sum();
    }

    /**
     * Takes all sequences of a request in, or none.
     *
     * @param entrants of one tenant
     * @param executor one thread, on which the listeners are called
     */
    public Decision enter(List<Entrant> entrants, Executor executor) {
        Lifecycle.Standing standing = lifecycle.standing();
        if (standing.state() != Lifecycle.State.SERVING && standing.state() != Lifecycle.State.WARMING) {
            return new Decision.Closed(standing);
        }
        Tenant tenant = tenants.at(entrants.getFirst().spec().tenant());
        Decision decision = decide(entrants, executor, tenant);
        if (decision instanceof Decision.Refused refused) {
            refusals.getOrDefault(refused.reason(), new LongAdder()).increment();
        }
        return decision;
    }

    private Decision decide(List<Entrant> entrants, Executor executor, Tenant tenant) {
        RequestSpec first = entrants.getFirst().spec();
        int count = entrants.size();
        Rules now = rules;
        Quota quota = tenant.terms().quota();
        int tenantPlacesMax = quota.placesMax(now.requestsMax());
        if (count > tenantPlacesMax) {
            return new Decision.Refused(
                    first,
                    Rejection.NEVER_FITS,
                    "the request asks for " + count + " answers, but the server takes at most " + tenantPlacesMax
                            + " at once, even when it is idle",
                    Duration.ZERO);
        }
        long refusedNanos = tenant.refusedNanos(clock.getAsLong());
        if (refusedNanos > 0) {
            return new Decision.Refused(
                    first, Rejection.QUOTA_EXCEEDED, quotaExceeded(tenant), Duration.ofNanos(refusedNanos));
        }
        LoadSnapshot load = snapshot();
        if (!tenant.takePlaces(count, quota.limitsPlaces() ? tenantPlacesMax : Integer.MAX_VALUE)) {
            return new Decision.Refused(
                    first,
                    Rejection.TENANT_BUSY,
                    "as many requests of tenant '" + tenant.name() + "' are here as may be: " + tenantPlacesMax,
                    placeFreesIn(load));
        }
        int taken = places.addAndGet(count);
        if (taken > now.placesMax()) {
            giveBack(tenant, count);
            return new Decision.Refused(
                    first, Rejection.QUEUE_FULL, "the server holds as many requests as it may", placeFreesIn(load));
        }
        int onTheWay = taken - count - load.waitingRequests() - load.runningSequences();
        int tenantRequests = tenant.placesTaken() - count;
        for (Entrant entrant : entrants) {
            AdmissionController.Decision decision =
                    now.admission().decide(entrant.spec(), 0, load, Math.max(0, onTheWay++), tenantRequests++);
            if (decision instanceof AdmissionController.Decision.Reject reject) {
                giveBack(tenant, count);
                return new Decision.Refused(
                        entrant.spec(), reject.reason(), reject.detail(), Duration.ofNanos(reject.retryAfterNanos()));
            }
        }
        long ttft =
                now.admission().ttftNanosEstimate(first, load, Math.max(0, onTheWay - count), tenantRequests - count);
        return submit(entrants, executor, tenant, ttft);
    }

    static String quotaExceeded(Tenant tenant) {
        return "tenant '" + tenant.name() + "' has used up what it may have in this time";
    }

    /** At the present rate of admissions. */
    private static Duration placeFreesIn(LoadSnapshot load) {
        long nanos =
                Math.max(load.scheduling().admissionNanos(), load.scheduling().stepNanos());
        return Duration.ofNanos(Math.clamp(nanos, RETRY_NANOS_MIN, RETRY_NANOS_MAX));
    }

    private void giveBack(Tenant tenant, int count) {
        places.addAndGet(-count);
        tenant.freePlaces(count);
    }

    private Decision submit(List<Entrant> entrants, Executor executor, Tenant tenant, long ttftNanosEstimate) {
        List<RequestTicket> tickets = new ArrayList<>(entrants.size());
        for (Entrant entrant : entrants) {
            RequestTicket ticket = new RequestTicket(
                    entrant.spec(), executor, entrant.listener(), inbox, ticketEventsMax, ttftNanosEstimate);
            if (!inbox.offer(new Command.Submit(ticket))) {
                // Closed between the look at the life cycle and here. Those that were in time have had their answer.
                giveBack(tenant, entrants.size() - tickets.size());
                return new Decision.Closed(lifecycle.standing());
            }
            tickets.add(ticket);
        }
        return new Decision.Admitted(tickets);
    }

    // The serving thread's side.

    Inbox inbox() {
        return inbox;
    }

    void publish(LoadSnapshot snapshot) {
        snapshots.set(snapshot);
    }

    void placeFreed(RequestSpec spec) {
        giveBack(tenants.at(spec.tenant()), 1);
    }
}
