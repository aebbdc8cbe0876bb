package io.chorale.serving;

import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;

/**
 * Wakes the readers of tickets: one wake-up per executor and step, however many tickets of it have news. Serving thread
 * only.
 */
final class EventFanout {
    private static final Logger LOG = System.getLogger(EventFanout.class.getName());

    private final IdentityHashMap<Executor, List<RequestTicket>> ready = new IdentityHashMap<>();

    /** The ticket has news; its reader is woken by the next {@link #flush}, unless a wake-up is still on its way. */
    void mark(RequestTicket ticket) {
        if (ticket.raiseSignal()) {
            ready.computeIfAbsent(ticket.executor(), executor -> new ArrayList<>())
                    .add(ticket);
        }
    }

    void flush() {
        if (ready.isEmpty()) {
            return;
        }
        ready.forEach(EventFanout::wake);
        ready.clear();
    }

    private static void wake(Executor executor, List<RequestTicket> tickets) {
        try {
            executor.execute(() -> tickets.forEach(EventFanout::deliver));
        } catch (RejectedExecutionException stopped) {
            // The reader's thread is gone and its clients with it.
            tickets.forEach(RequestTicket::cancel);
        }
    }

    /** One reader's failure is its own: the others of the same wake-up get theirs. */
    private static void deliver(RequestTicket ticket) {
        try {
            ticket.deliver();
        } catch (RuntimeException failure) {
            LOG.log(Level.ERROR, "the reader of request " + ticket.id() + " failed; the request is cancelled", failure);
            ticket.cancel();
        }
    }
}
