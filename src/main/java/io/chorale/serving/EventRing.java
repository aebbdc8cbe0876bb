package io.chorale.serving;

import io.chorale.core.model.Check;
import io.chorale.core.model.SequenceEvent;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/**
 * Events by their position in a request's answer, the last so many of them. Small at first, for most readers take each
 * event before the next one comes: where one falls behind, a larger ring follows, and the reader goes over to it when it
 * has emptied this one.
 *
 * <p>One thread puts and follows, one takes; a position is handed over by whoever counts them.
 */
final class EventRing {
    static final int EVENTS_AT_FIRST = 16;

    private final long first;
    private final AtomicReferenceArray<@Nullable SequenceEvent> events;
    private volatile @Nullable EventRing next;

    /** @param first position that it holds */
    EventRing(long first, int length) {
        this.first = first;
        this.events = new AtomicReferenceArray<>(length);
    }

    /** Whether there is no room at {@code position}, when all before {@code taken} were taken. */
    boolean isFull(long position, long taken) {
        return position - Math.max(taken, first) >= events.length();
    }

    /** A larger one, of at most {@code eventsMax}, from {@code position} on. */
    EventRing followedBy(long position, int eventsMax) {
        EventRing larger = new EventRing(position, (int) Math.min(2L * events.length(), eventsMax));
        next = larger;
        return larger;
    }

    /** This ring, or the one after it that holds {@code position}. */
    EventRing holding(long position) {
        EventRing ring = this;
        for (EventRing later = next; later != null && position >= later.first; later = later.next) {
            ring = later;
        }
        return ring;
    }

    void put(long position, SequenceEvent event) {
        events.lazySet(index(position), event);
    }

    SequenceEvent take(long position) {
        int index = index(position);
        SequenceEvent event = events.get(index);
        Check.state(event != null, () -> "an event that was written is missing");
        events.lazySet(index, null);
        return event;
    }

    private int index(long position) {
        return (int) ((position - first) % events.length());
    }
}
