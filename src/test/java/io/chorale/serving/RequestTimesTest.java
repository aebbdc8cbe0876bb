package io.chorale.serving;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class RequestTimesTest {
    @Test
    void shouldDivideTheTimeAmongTheStages() {
        RequestTimes times = new RequestTimes(100);
        times.adapterRead(130);
        times.started(150);
        times.adapterRead(155);
        times.firstToken(170);
        assertFalse(times.ended());
        times.ended(200);
        assertEquals(50, times.queueNanos());
        assertEquals(30, times.adapterNanos());
        assertEquals(20, times.prefillNanos());
        assertEquals(30, times.decodeNanos());
        assertEquals(100, times.totalNanos());
        assertTrue(times.answered());
    }

    /** What was reached last has taken the rest. */
    @Test
    void shouldGiveTheRestToTheStageThatWasReached() {
        RequestTimes waited = new RequestTimes(100);
        waited.ended(160);
        assertEquals(60, waited.queueNanos());
        assertEquals(0, waited.prefillNanos() + waited.decodeNanos());
        assertFalse(waited.started());
        RequestTimes begun = new RequestTimes(100);
        begun.started(110);
        begun.ended(160);
        assertEquals(10, begun.queueNanos());
        assertEquals(50, begun.prefillNanos());
        assertEquals(0, begun.decodeNanos());
        assertFalse(begun.answered());
        assertTrue(begun.started());
    }
}
