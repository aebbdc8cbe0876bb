package io.chorale.api;

import java.util.ArrayDeque;

/**
 * The numbered events of a stream, of which a client has been sent a part and may ask for some of that once more:
 *
 * <pre>
 *   sent:   firstId ......... lastSentId    unsent:  lastSentId + 1 ......... nextId - 1
 * </pre>
 *
 * Of those sent it keeps as many as there is room for beside the unsent ones, which are never given up here: whoever
 * appends asks {@link #hasRoom} first. Each call costs what it moves, not what is kept. Not thread-safe.
 */
final class KeptEvents {
    private final int eventsMax;
    private final ArrayDeque<byte[]> sent = new ArrayDeque<>();
    private final ArrayDeque<byte[]> unsent = new ArrayDeque<>();
    private long firstId = 1;

    /** @param eventsMax how many are kept, sent and unsent */
    KeptEvents(int eventsMax) {
        this.eventsMax = eventsMax;
    }

    /** Of the event that comes next. */
    long nextId() {
        return firstId + sent.size() + unsent.size();
    }

    boolean hasUnsent() {
        return !unsent.isEmpty();
    }

    /** Whether another event is kept without giving up an unsent one. */
    boolean hasRoom() {
        return unsent.size() < eventsMax;
    }

    void append(byte[] event) {
        unsent.add(event);
        while (sent.size() + unsent.size() > eventsMax && !sent.isEmpty()) {
            sent.remove();
            firstId++;
        }
    }

    /** Whether all that follows the event is kept, or still to come. */
    boolean reachesBackTo(long lastId) {
        return lastId >= firstId - 1 && lastId < nextId();
    }

    /** What follows the event is unsent, and nothing else: a client that has it goes on there. */
    void resumeAfter(long lastId) {
        long sentCount = lastId + 1 - firstId;
        while (sent.size() > sentCount) {
            unsent.addFirst(sent.removeLast());
        }
        while (sent.size() < sentCount) {
            sent.add(unsent.remove());
        }
    }

    /** Writes unsent events, which are sent then, until {@code bytesMax} are reached. */
    void send(JsonBytes out, int bytesMax) {
        int bytes = 0;
        while (!unsent.isEmpty() && bytes < bytesMax) {
            byte[] event = unsent.remove();
            out.raw(event);
            bytes += event.length;
            sent.add(event);
        }
    }
}
