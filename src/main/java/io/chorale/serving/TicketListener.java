package io.chorale.serving;

/** The consumer's end of a ticket. */
@FunctionalInterface
public interface TicketListener {
    /** The ticket has events to drain. Runs on the ticket's executor, once for all events that came together. */
    void eventsReady(RequestTicket ticket);
}
