package io.chorale.serving;

import io.chorale.core.model.Check;
import io.chorale.core.model.DropReason;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.model.Usage;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The client's end of one accepted request: a bounded queue of events from the serving thread to the one thread that reads
 * them, and a cancel flag the other way.
 *
 * <p>A reader that lets the queue fill up is too slow for the server to wait for: the request is dropped as {@link
 * DropReason#SLOW_CONSUMER}. The terminal event has its own place outside the queue, so that it always arrives, after all
 * others, exactly once.
 *
 * <table>
 * <caption>Who writes what</caption>
 * <tr><td>writing, written, terminal, the counters of time</td><td>serving thread</td></tr>
 * <tr><td>reading, read, delivered</td><td>the reader: the executor's thread</td></tr>
 * <tr><td>left</td><td>any thread</td></tr>
 * </table>
 */
public final class RequestTicket {
    private final RequestSpec spec;
    private final Executor executor;
    private final TicketListener listener;
    private final Inbox inbox;
    private final long ttftNanosEstimate;
    private final int eventsMax;
    private EventRing writing;
    private EventRing reading;
    private final AtomicLong written = new AtomicLong();
    private final AtomicLong read = new AtomicLong();
    private final AtomicBoolean signalled = new AtomicBoolean();
    private volatile @Nullable DropReason left;
    private volatile @Nullable SequenceEvent terminal;
    private boolean delivered;

    private final RequestTimes times;
    private int tokens;
    private long lastTokenNanos;

    /**
     * @param executor one thread, on which {@code listener} runs and {@link #drain} is called
     * @param eventsMax events that may wait for the reader
     * @param ttftNanosEstimate when the door expected the first token
     */
    RequestTicket(
            RequestSpec spec,
            Executor executor,
            TicketListener listener,
            Inbox inbox,
            int eventsMax,
            long ttftNanosEstimate) {
        Check.argument(eventsMax >= 1, () -> "a ticket needs room for an event");
        this.spec = spec;
        this.executor = executor;
        this.listener = listener;
        this.inbox = inbox;
        this.ttftNanosEstimate = ttftNanosEstimate;
        this.eventsMax = eventsMax;
        this.writing = new EventRing(0, Math.min(EventRing.EVENTS_AT_FIRST, eventsMax));
        this.reading = writing;
        this.times = new RequestTimes(spec.arrivalNanos());
    }

    public long id() {
        return spec.id();
    }

    public RequestSpec spec() {
        return spec;
    }

    /** As far as the events that were taken out tell. */
    public RequestTimes times() {
        return times;
    }

    /** The client wants no more. The answer ends within a step; a terminal event still arrives. Any thread. */
    public void cancel() {
        leave(DropReason.CANCELLED);
    }

    /** The client is there but does not read: as {@link #cancel}, and counted as such. Any thread. */
    public void abandon() {
        leave(DropReason.SLOW_CONSUMER);
    }

    private void leave(DropReason reason) {
        if (left == null) {
            left = reason;
            inbox.signalCancel();
        }
    }

    /** Takes out what is there, in order; the reader's thread only. */
    public void drain(Consumer<? super SequenceEvent> consumer) {
        // Lowered before anything is read: what comes later raises it again and wakes the reader again.
        signalled.set(false);
        // Read before the events: when the end is seen, all that came before it is there.
        SequenceEvent end = terminal;
        long limit = written.get();
        for (long at = read.get(); at < limit; at++) {
            reading = reading.holding(at);
            SequenceEvent event = reading.take(at);
            read.lazySet(at + 1);
            consumer.accept(event);
        }
        if (end != null && !delivered) {
            delivered = true;
            consumer.accept(end);
        }
    }

    // The serving thread's side.

    long ttftNanosEstimate() {
        return ttftNanosEstimate;
    }

    Executor executor() {
        return executor;
    }

    boolean cancelRequested() {
        return left != null;
    }

    /** Why, once it is. */
    DropReason cancelReason() {
        DropReason reason = left;
        return reason == null ? DropReason.CANCELLED : reason;
    }

    boolean ended() {
        return terminal != null;
    }

    /** False when the reader has left no room. */
    boolean offer(SequenceEvent event) {
        Check.state(!ended(), () -> "request " + id() + " gets an event after its end");
        long at = written.get();
        long taken = read.get();
        if (at - taken >= eventsMax) {
            return false;
        }
        if (writing.isFull(at, taken)) {
            writing = writing.followedBy(at, eventsMax);
        }
        writing.put(at, event);
        written.set(at + 1);
        return true;
    }

    /** Ends the request; later calls change nothing. */
    void end(SequenceEvent last) {
        if (terminal == null) {
            terminal = last;
        }
    }

    /** True once for all events until the reader drains: then it must be woken. */
    boolean raiseSignal() {
        return signalled.compareAndSet(false, true);
    }

    /** Runs the reader; on its executor. */
    void deliver() {
        listener.eventsReady(this);
    }

    /** Notes a token of the answer and returns the time since the one before it; 0 for the first. */
    long tokenGap(long nowNanos) {
        long gap = tokens == 0 ? 0 : nowNanos - lastTokenNanos;
        tokens++;
        lastTokenNanos = nowNanos;
        return gap;
    }

    int tokens() {
        return tokens;
    }

    /** What the request took up to now. */
    Usage usage() {
        return new Usage(spec.promptTokens().length, tokens, 0);
    }
}
