package io.chorale.serving;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.FinishReason;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.model.TopLogProbs;
import io.chorale.core.model.Usage;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class RequestTicketTest {
    private final Inbox inbox = new Inbox();

    @Test
    void shouldHandEventsOnInOrderAndTheEndLast() {
        RequestTicket ticket = ticket(4);
        assertTrue(ticket.offer(token(1)));
        assertTrue(ticket.offer(token(2)));
        assertEquals(List.of(1, 2), drain(ticket));
        assertTrue(ticket.offer(token(3)));
        ticket.end(finished());
        assertEquals(List.of(3, "end"), drain(ticket));
        assertEquals(List.of(), drain(ticket));
    }

    @Test
    void shouldRefuseWhatDoesNotFitAndStillEnd() {
        RequestTicket ticket = ticket(2);
        assertTrue(ticket.offer(token(1)));
        assertTrue(ticket.offer(token(2)));
        assertFalse(ticket.offer(token(3)));
        ticket.end(finished());
        assertEquals(List.of(1, 2, "end"), drain(ticket));
    }

    @Test
    void shouldTakeEventsAgainAfterADrain() {
        RequestTicket ticket = ticket(1);
        for (int i = 0; i < 10; i++) {
            assertTrue(ticket.offer(token(i)));
            assertFalse(ticket.offer(token(i)));
            assertEquals(List.of(i), drain(ticket));
        }
    }

    /** Fewer events than there is room for at first, and more, and as many as there may be; each time around the ring. */
    @Test
    void shouldHoldWhatAReaderFallsBehindBy() {
        RequestTicket ticket = ticket(100);
        int given = 0;
        for (int behind : new int[] {1, 15, 16, 17, 40, 1, 100, 3, 99, 100}) {
            List<Object> wanted = new ArrayList<>();
            for (int i = 0; i < behind; i++) {
                assertTrue(ticket.offer(token(given)));
                wanted.add(given++);
            }
            assertEquals(behind < 100, ticket.offer(token(given)));
            if (behind < 100) {
                wanted.add(given++);
            }
            assertEquals(wanted, drain(ticket));
        }
    }

    @Test
    void shouldEndOnce() {
        RequestTicket ticket = ticket(2);
        ticket.end(finished());
        ticket.end(new SequenceEvent.Finished(1, FinishReason.LENGTH, -1, new Usage(9, 9, 0)));
        List<SequenceEvent> got = new ArrayList<>();
        ticket.drain(got::add);
        assertEquals(List.of(finished()), got);
        assertThrows(IllegalStateException.class, () -> ticket.offer(token(1)));
    }

    @Test
    void shouldWakeTheReaderOnceUntilItReads() {
        RequestTicket ticket = ticket(2);
        assertTrue(ticket.raiseSignal());
        assertFalse(ticket.raiseSignal());
        drain(ticket);
        assertTrue(ticket.raiseSignal());
    }

    @Test
    void shouldTellTheInboxOfACancel() {
        RequestTicket ticket = ticket(2);
        assertFalse(inbox.takeCancelSignal());
        ticket.cancel();
        ticket.cancel();
        assertTrue(ticket.cancelRequested());
        assertTrue(inbox.takeCancelSignal());
        assertFalse(inbox.takeCancelSignal());
    }

    /** A writer and a reader on two threads: nothing is lost, doubled or out of order, and the end is last. */
    @Test
    void shouldLoseNothingBetweenTwoThreads() throws InterruptedException {
        int tokens = 20_000;
        RequestTicket ticket = ticket(64);
        CountDownLatch over = new CountDownLatch(1);
        List<Object> got = new ArrayList<>();
        Thread reader = Thread.ofPlatform().start(() -> {
            while (got.isEmpty() || !got.getLast().equals("end")) {
                got.addAll(drain(ticket));
                Thread.yield();
            }
            over.countDown();
        });
        for (int i = 0; i < tokens; i++) {
            while (!ticket.offer(token(i))) {
                Thread.yield();
            }
        }
        ticket.end(finished());
        assertTrue(over.await(30, TimeUnit.SECONDS));
        reader.join();
        assertEquals(tokens + 1, got.size());
        for (int i = 0; i < tokens; i++) {
            assertEquals(i, got.get(i));
        }
    }

    private RequestTicket ticket(int eventsMax) {
        RequestSpec spec = new RequestSpec(1, 0, AdapterSet.BASE, new int[] {1}, SamplingParams.greedy(8), 0, 0, 0);
        return new RequestTicket(spec, Runnable::run, ticket -> {}, inbox, eventsMax, 0);
    }

    private static List<Object> drain(RequestTicket ticket) {
        List<Object> got = new ArrayList<>();
        ticket.drain(event -> got.add(event instanceof SequenceEvent.Token token ? (Object) token.tokenId() : "end"));
        return got;
    }

    private static SequenceEvent.Token token(int id) {
        return new SequenceEvent.Token(1, id, Float.NaN, TopLogProbs.NONE);
    }

    private static SequenceEvent finished() {
        return new SequenceEvent.Finished(1, FinishReason.STOP, 7, new Usage(1, 3, 0));
    }
}
