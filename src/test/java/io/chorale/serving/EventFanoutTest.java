package io.chorale.serving;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import org.junit.jupiter.api.Test;

class EventFanoutTest {
    private final EventFanout fanout = new EventFanout();
    private final Inbox inbox = new Inbox();
    private final List<Runnable> loopOne = new ArrayList<>();
    private final List<Runnable> loopTwo = new ArrayList<>();
    private final Executor one = loopOne::add;
    private final Executor two = loopTwo::add;
    private final List<Long> woken = new ArrayList<>();

    @Test
    void shouldWakeEachLoopOnceForAllItsTickets() {
        for (int i = 0; i < 6; i++) {
            fanout.mark(ticket(i, i % 2 == 0 ? one : two, ticket -> woken.add(ticket.id())));
        }
        fanout.flush();
        assertEquals(1, loopOne.size());
        assertEquals(1, loopTwo.size());
        loopOne.getFirst().run();
        assertEquals(List.of(0L, 2L, 4L), woken);
    }

    @Test
    void shouldNotWakeAgainBeforeTheReaderHasRead() {
        RequestTicket ticket = ticket(1, one, t -> t.drain(event -> {}));
        fanout.mark(ticket);
        fanout.flush();
        fanout.mark(ticket);
        fanout.flush();
        assertEquals(1, loopOne.size());
        loopOne.getFirst().run();
        fanout.mark(ticket);
        fanout.flush();
        assertEquals(2, loopOne.size());
    }

    @Test
    void shouldWakeTheOthersWhenOneReaderFails() {
        RequestTicket broken = ticket(1, one, ticket -> {
            throw new IllegalStateException("on purpose");
        });
        fanout.mark(broken);
        fanout.mark(ticket(2, one, ticket -> woken.add(ticket.id())));
        fanout.flush();
        loopOne.getFirst().run();
        assertEquals(List.of(2L), woken);
        assertTrue(broken.cancelRequested());
    }

    @Test
    void shouldCancelTheTicketsOfALoopThatIsGone() {
        RequestTicket orphan = ticket(
                1,
                task -> {
                    throw new RejectedExecutionException("stopped");
                },
                ticket -> woken.add(ticket.id()));
        fanout.mark(orphan);
        fanout.flush();
        assertTrue(orphan.cancelRequested());
    }

    private RequestTicket ticket(long id, Executor executor, TicketListener listener) {
        RequestSpec spec = new RequestSpec(id, 0, AdapterSet.BASE, new int[] {1}, SamplingParams.greedy(8), 0, 0, 0);
        return new RequestTicket(spec, executor, listener, inbox, 4, 0);
    }
}
