package io.chorale.engine;

/**
 * An adapter in host memory, verified against the base model and ready to be uploaded.
 *
 * @param handle the engine's name for it, never 0
 * @param pages pages of the pool that it takes when resident
 * @param hostBytes host memory that it holds until released
 */
public record StagedAdapter(long handle, int pages, long hostBytes) {}
