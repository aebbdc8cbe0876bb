package io.chorale.api;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class KeptEventsTest {
    private static final int EVENTS_MAX = 8;
    private static final int EVENT_BYTES = 6;

    @Test
    void shouldSendWhatIsUnsentInPiecesAndOnce() {
        KeptEvents events = new KeptEvents(EVENTS_MAX);
        append(events, 5);
        assertEquals(List.of(1L, 2L), send(events, 2));
        assertEquals(List.of(3L, 4L), send(events, 2));
        assertTrue(events.hasUnsent());
        assertEquals(List.of(5L), send(events, 2));
        assertFalse(events.hasUnsent());
        assertEquals(List.of(), send(events, 2));
    }

    @Test
    void shouldGiveUpSentEventsForNewOnesAndUnsentOnesNever() {
        KeptEvents events = new KeptEvents(EVENTS_MAX);
        append(events, EVENTS_MAX);
        assertFalse(events.hasRoom());
        assertEquals(List.of(1L, 2L, 3L), send(events, 3));
        assertTrue(events.hasRoom());
        assertTrue(events.reachesBackTo(0));
        append(events, 3);
        assertFalse(events.hasRoom());
        assertFalse(events.reachesBackTo(2));
        assertTrue(events.reachesBackTo(3));
        // The end of a stream comes even where there is no room.
        append(events, 1);
        assertEquals(List.of(4L, 5L, 6L, 7L, 8L, 9L, 10L, 11L, 12L), send(events, 100));
    }

    @Test
    void shouldGoOnAfterWhateverIsKept() {
        KeptEvents events = new KeptEvents(EVENTS_MAX);
        append(events, 6);
        send(events, 4);
        events.resumeAfter(1);
        assertEquals(List.of(2L, 3L, 4L, 5L, 6L), send(events, 100));
        events.resumeAfter(0);
        events.resumeAfter(5);
        assertEquals(List.of(6L), send(events, 100));
        events.resumeAfter(6);
        assertFalse(events.hasUnsent());
        assertFalse(events.reachesBackTo(7));
        assertFalse(events.reachesBackTo(Long.MAX_VALUE));
    }

    /** Whatever is done to it: what it sends are the events after the last one that was sent or named, without a gap. */
    @Test
    void shouldNeverLeaveOutOrRepeatAnEvent() {
        SplittableRandom random = new SplittableRandom(7);
        KeptEvents events = new KeptEvents(EVENTS_MAX);
        long last = 0;
        for (int i = 0; i < 20_000; i++) {
            switch (random.nextInt(3)) {
                case 0 -> {
                    if (events.hasRoom()) {
                        append(events, 1);
                    }
                }
                case 1 -> {
                    for (long id : send(events, random.nextInt(1, 4))) {
                        assertEquals(++last, id);
                    }
                }
                default -> {
                    long asked = events.nextId() - random.nextInt(2 * EVENTS_MAX);
                    if (events.reachesBackTo(asked)) {
                        assertTrue(asked >= events.nextId() - 1 - EVENTS_MAX, "more is kept than there may be");
                        events.resumeAfter(asked);
                        last = asked;
                    }
                }
            }
        }
        assertTrue(events.nextId() > 1_000);
    }

    private static void append(KeptEvents events, int count) {
        for (int i = 0; i < count; i++) {
            events.append(
                    String.format("%" + EVENT_BYTES + "d", events.nextId()).getBytes(StandardCharsets.US_ASCII));
        }
    }

    private static List<Long> send(KeptEvents events, int count) {
        JsonBytes out = new JsonBytes();
        events.send(out, count * EVENT_BYTES);
        String text = new String(out.take(), StandardCharsets.US_ASCII);
        List<Long> ids = new ArrayList<>();
        for (int at = 0; at < text.length(); at += EVENT_BYTES) {
            ids.add(Long.parseLong(text.substring(at, at + EVENT_BYTES).strip()));
        }
        return ids;
    }
}
