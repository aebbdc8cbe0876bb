package io.chorale.serving;

import io.chorale.core.admission.AdmissionController;
import io.chorale.core.model.Check;
import io.chorale.core.model.LoadSnapshot;
import io.chorale.core.model.Rejection;
import io.chorale.core.model.RequestSpec;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
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

    private final AdmissionController admission;
    private final Lifecycle lifecycle;
    private final LongSupplier clock;
    private final int placesMax;
    private final int ticketEventsMax;

    private final Inbox inbox = new Inbox();
    private final AtomicInteger places = new AtomicInteger();
    private final AtomicLong ids = new AtomicLong();
    private final LongAdder refusals = new LongAdder();
    private final AtomicReference<LoadSnapshot> snapshots;

    /**
     * @param placesMax requests behind the door at once, waiting and running
     * @param ticketEventsMax events that may wait for one client
     */
    public Door(
            AdmissionController admission,
            Lifecycle lifecycle,
            LongSupplier clock,
            LoadSnapshot first,
            int placesMax,
            int ticketEventsMax) {
        Check.argument(placesMax >= 1, () -> "there must be a place for a request");
        this.admission = admission;
        this.lifecycle = lifecycle;
        this.clock = clock;
        this.snapshots = new AtomicReference<>(first);
        this.placesMax = placesMax;
        this.ticketEventsMax = ticketEventsMax;
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
        return Math.min(placesMax, admission.requestsMax());
    }

    /** Sequences that may run at once. */
    public int runningMax() {
        return admission.runningMax();
    }

    public int placesTaken() {
        return places.get();
    }

    /** Requests turned away since the start. */
    public long refusals() {
        return refusals.sum();
    }

    /**
     * Takes all sequences of a request in, or none.
     *
     * @param executor one thread, on which the listeners are called
     */
    public Decision enter(List<Entrant> entrants, Executor executor) {
        Lifecycle.Standing standing = lifecycle.standing();
        if (standing.state() != Lifecycle.State.SERVING && standing.state() != Lifecycle.State.WARMING) {
            return new Decision.Closed(standing);
        }
        int taken = places.addAndGet(entrants.size());
        Decision decision = decide(entrants, executor, taken);
        if (!(decision instanceof Decision.Admitted)) {
            refusals.increment();
        }
        return decision;
    }

    private Decision decide(List<Entrant> entrants, Executor executor, int taken) {
        RequestSpec first = entrants.getFirst().spec();
        if (entrants.size() > requestsMax()) {
            places.addAndGet(-entrants.size());
            return new Decision.Refused(
                    first,
                    Rejection.NEVER_FITS,
                    "the request asks for " + entrants.size() + " answers, but the server takes at most "
                            + requestsMax() + " at once, even when it is idle",
                    Duration.ZERO);
        }
        if (taken > placesMax) {
            places.addAndGet(-entrants.size());
            Duration retryAfter = Duration.ofNanos(snapshot().queueNanosEstimate());
            return new Decision.Refused(
                    first, Rejection.QUEUE_FULL, "the server holds as many requests as it may", retryAfter);
        }
        LoadSnapshot load = snapshot();
        int onTheWay = taken - entrants.size() - load.waitingRequests() - load.runningSequences();
        for (Entrant entrant : entrants) {
            AdmissionController.Decision decision = admission.decide(entrant.spec(), 0, load, Math.max(0, onTheWay++));
            if (decision instanceof AdmissionController.Decision.Reject reject) {
                places.addAndGet(-entrants.size());
                return new Decision.Refused(
                        entrant.spec(), reject.reason(), reject.detail(), Duration.ofNanos(reject.retryAfterNanos()));
            }
        }
        return submit(entrants, executor);
    }

    private Decision submit(List<Entrant> entrants, Executor executor) {
        List<RequestTicket> tickets = new ArrayList<>(entrants.size());
        for (Entrant entrant : entrants) {
            RequestTicket ticket =
                    new RequestTicket(entrant.spec(), executor, entrant.listener(), inbox, ticketEventsMax);
            if (!inbox.offer(new Command.Submit(ticket))) {
                // Closed between the look at the life cycle and here. Those that were in time have had their answer.
                places.addAndGet(tickets.size() - entrants.size());
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

    void placeFreed() {
        places.decrementAndGet();
    }
}
