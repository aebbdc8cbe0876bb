package io.chorale.core.sched;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class ScoreHeapTest {
    private static final class Entry extends ScoreHeap.Item {
        long score;
        final long tie;

        Entry(long score, long tie) {
            this.score = score;
            this.tie = tie;
        }
    }

    @Test
    void agreesWithASortedListUnderAnyAddsUpdatesAndRemoves() {
        SplittableRandom random = new SplittableRandom(2);
        ScoreHeap<Entry> heap = new ScoreHeap<>();
        List<Entry> model = new ArrayList<>();
        Comparator<Entry> order = Comparator.comparingLong((Entry e) -> e.score).thenComparingLong(e -> e.tie);
        for (int i = 0; i < 20_000; i++) {
            int choice = random.nextInt(4);
            if (choice < 2 && model.size() < 40) {
                Entry entry = new Entry(random.nextInt(10), i);
                heap.add(entry, entry.score, entry.tie);
                model.add(entry);
            } else if (!model.isEmpty()) {
                Entry entry = model.get(random.nextInt(model.size()));
                if (choice == 3) {
                    entry.score = random.nextInt(10);
                    heap.update(entry, entry.score, entry.tie);
                } else {
                    heap.remove(entry);
                    model.remove(entry);
                }
            }
            heap.verify();
            assertEquals(model.size(), heap.size());
            if (!model.isEmpty()) {
                assertSame(model.stream().min(order).orElseThrow(), heap.peek());
            }
        }
    }
}
