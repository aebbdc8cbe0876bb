package io.chorale.simulate;

/**
 * What the host takes that the device does not hide.
 *
 * @param stepNanos of each step, while the device waits
 * @param sequenceNanos of each sequence of a step, after the device is done
 * @param sequenceAdapterNanos more of it for each sequence with an adapter
 * @param uploadNanos of each adapter uploaded: it launches its copies while the device does those before
 * @param requestNanos until a request that was sent is in the queue: HTTP, its tokens, ways between processes
 */
public record HostCosts(
        double stepNanos, double sequenceNanos, double sequenceAdapterNanos, double uploadNanos, double requestNanos) {

    /** Everything is hidden. */
    public static final HostCosts NONE = new HostCosts(0, 0, 0, 0, 0);

    HostCosts times(double factor) {
        return new HostCosts(
                stepNanos * factor,
                sequenceNanos * factor,
                sequenceAdapterNanos * factor,
                uploadNanos * factor,
                requestNanos * factor);
    }
}
