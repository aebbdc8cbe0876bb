package io.chorale.boot;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class QuietCollectorTest {
    private static final long MB = 1 << 20;

    private int requests;
    private long used = 10 * MB;
    private int collections;
    private final QuietCollector collector = new QuietCollector(16 * MB, () -> requests, () -> used, () -> {
        collections++;
        used = 12 * MB;
    });

    @Test
    void shouldCollectWhenTheHeapHasGrownAndNobodyIsThere() {
        looks(10);
        assertEquals(0, collections, "nothing to collect");
        used = 30 * MB;
        looks(10);
        assertEquals(1, collections, "once, until it has grown again");
        used = 28 * MB;
        looks(10);
        assertEquals(1, collections);
        used = 29 * MB;
        looks(10);
        assertEquals(2, collections);
    }

    @Test
    void shouldWaitForAQuietMoment() {
        looks(1);
        used = 100 * MB;
        requests = 500;
        looks(10);
        assertEquals(0, collections);
        requests = 3;
        looks(1);
        assertEquals(0, collections, "a gap between two requests is no quiet");
        looks(1);
        assertEquals(1, collections);
    }

    @Test
    void shouldCountFromWhatACollectionOfTheCollectorsOwnHasLeft() {
        looks(2);
        used = 20 * MB;
        looks(2);
        used = 8 * MB;
        looks(2);
        used = 25 * MB;
        looks(2);
        assertEquals(1, collections);
    }

    private void looks(int times) {
        for (int i = 0; i < times; i++) {
            collector.look();
        }
    }
}
