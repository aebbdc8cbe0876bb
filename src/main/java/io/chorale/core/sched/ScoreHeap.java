package io.chorale.core.sched;

import io.chorale.core.model.Check;
import java.util.ArrayList;
import java.util.List;

/**
 * A binary heap whose items know their place, so that any of them can be removed or moved: lowest score first, ties by
 * the lower tie-breaker, so the order never depends on history. An item is in one heap at a time.
 */
final class ScoreHeap<T extends ScoreHeap.Item> {
    /** What a heap holds. */
    abstract static class Item {
        private long score;
        private long tie;
        private int index = -1;

        final boolean inHeap() {
            return index >= 0;
        }

        final long score() {
            return score;
        }
    }

    private final List<T> items = new ArrayList<>();

    boolean isEmpty() {
        return items.isEmpty();
    }

    int size() {
        return items.size();
    }

    /** In no order. */
    T get(int index) {
        return items.get(index);
    }

    T peek() {
        return items.get(0);
    }

    void add(T item, long score, long tie) {
        setScore(item, score, tie);
        items.add(item);
        place(item, items.size() - 1);
        siftUp(items.size() - 1);
    }

    void update(T item, long score, long tie) {
        setScore(item, score, tie);
        siftUp(indexOf(item));
        siftDown(indexOf(item));
    }

    /** Changes a score without keeping the order: {@link #rebuild} is to follow, once for all that changed. */
    void rescore(T item, long score, long tie) {
        setScore(item, score, tie);
    }

    void rebuild() {
        for (int i = items.size() / 2 - 1; i >= 0; i--) {
            siftDown(i);
        }
    }

    void remove(T item) {
        int at = indexOf(item);
        T last = items.remove(items.size() - 1);
        if (last != item) {
            place(last, at);
            siftUp(at);
            siftDown(indexOf(last));
        }
        item(item).index = -1;
    }

    private void siftUp(int start) {
        int at = start;
        while (at > 0 && before(items.get(at), items.get((at - 1) / 2))) {
            swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    private void siftDown(int start) {
        int at = start;
        while (2 * at + 1 < items.size()) {
            int child = 2 * at + 1;
            if (child + 1 < items.size() && before(items.get(child + 1), items.get(child))) {
                child++;
            }
            if (!before(items.get(child), items.get(at))) {
                return;
            }
            swap(at, child);
            at = child;
        }
    }

    private void swap(int a, int b) {
        T first = items.get(a);
        place(items.get(b), a);
        place(first, b);
    }

    private void place(T item, int at) {
        items.set(at, item);
        item(item).index = at;
    }

    /** The private fields of the superclass are not visible through a type variable. */
    private static Item item(Item item) {
        return item;
    }

    private int indexOf(T item) {
        int at = item(item).index;
        if (at < 0) {
            throw new IllegalStateException("not in the heap");
        }
        return at;
    }

    private static void setScore(Item item, long score, long tie) {
        item.score = score;
        item.tie = tie;
    }

    private static boolean before(Item a, Item b) {
        return a.score != b.score ? a.score < b.score : a.tie < b.tie;
    }

    void verify() {
        for (int i = 0; i < items.size(); i++) {
            int at = i;
            Check.state(item(items.get(i)).index == i, () -> "heap item " + at + " does not know its place");
            Check.state(!before(items.get(i), items.get((i - 1) / 2)), () -> "heap order is broken at " + at);
        }
    }
}
