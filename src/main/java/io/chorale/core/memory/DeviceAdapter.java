package io.chorale.core.memory;

/**
 * One adapter version as the device sees it.
 *
 * <pre>
 * ABSENT    wanted by a request, not in host memory yet (or no longer)
 * STAGED    in host memory; no slot, no pages
 * LOADING   slot and pages taken, the upload is in a step that has not ended
 * RESIDENT  on the device
 * DRAINING  its drop is in a step that has not ended; slot and pages are still its own
 * </pre>
 *
 * Only the {@link AdapterResidency} changes it.
 */
public final class DeviceAdapter {
    /** Where it is. */
    public enum State {
        ABSENT,
        STAGED,
        LOADING,
        RESIDENT,
        DRAINING
    }

    private static final double LN_2 = Math.log(2);
    private static final double USES_HALVE_NANOS = 60e9;

    final int version;
    State state = State.ABSENT;
    long handle;
    int pagesNeeded;
    boolean mergeable = true;
    int slot = -1;
    final PageTable pages = new PageTable();
    int users;
    int pins;
    long usedNanos;
    /** Live requests that name it. */
    int wanted;
    /** Requests that began with it, halved with every {@link #USES_HALVE_NANOS} since {@link #usesNanos}. */
    double uses;

    long usesNanos;
    boolean gone;

    DeviceAdapter(int version) {
        this.version = version;
    }

    public int version() {
        return version;
    }

    public State state() {
        return state;
    }

    /** The engine's name for the staged adapter. */
    public long handle() {
        return handle;
    }

    /** Pages that it takes when resident; 0 while that is not known. */
    public int pagesNeeded() {
        return pagesNeeded;
    }

    /** Whether all that it does is to add to base weights, and nothing went wrong with that. */
    public boolean mergeable() {
        return mergeable;
    }

    /** A step with its merge has failed: it stays unmerged, or as many requests would be lost again. */
    public void mergeFailed() {
        mergeable = false;
    }

    /** Meaningful from LOADING to DRAINING. */
    public int slot() {
        return slot;
    }

    public PageTable pages() {
        return pages;
    }

    /** Running sequences that use it, and one more while it is merged: it cannot be evicted. */
    public int pins() {
        return pins;
    }

    /** Whether the host has forgotten it: it is to leave the device. */
    public boolean isGone() {
        return gone;
    }

    /** When a step with it was planned last. */
    public long usedNanos() {
        return usedNanos;
    }

    /** Live requests that name it. */
    public int wanted() {
        return wanted;
    }

    /** How often requests began with it lately: one a minute ago counts half. */
    public double uses(long nowNanos) {
        return uses * Math.exp(-LN_2 * Math.max(0, nowNanos - usesNanos) / USES_HALVE_NANOS);
    }

    /** Whether the host has it, so that requests need not wait for files. */
    public boolean onHost() {
        return state != State.ABSENT && !gone;
    }

    public boolean onDevice() {
        return state == State.LOADING || state == State.RESIDENT;
    }

    public boolean evictable() {
        return state == State.RESIDENT && pins == 0;
    }
}
