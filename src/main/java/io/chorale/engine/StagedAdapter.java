package io.chorale.engine;

/**
 * An adapter in host memory, verified against the base model and ready to be uploaded.
 *
 * @param handle the engine's name for it, never 0
 * @param pages pages of the pool that it takes when resident
 * @param hostBytes host memory that it holds until released
 * @param mergeable whether it may be merged into the base weights
 */
public record StagedAdapter(long handle, int pages, long hostBytes, boolean mergeable) {
    public StagedAdapter(long handle, int pages, long hostBytes) {
        this(handle, pages, hostBytes, true);
    }
}
