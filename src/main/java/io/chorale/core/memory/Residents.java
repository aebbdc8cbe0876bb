package io.chorale.core.memory;

/**
 * The adapters on the device as a whole, now: what an idle one is compared with.
 *
 * @param usesMax of the adapter that was used most lately
 * @param pagesMax of the largest adapter
 */
public record Residents(long nowNanos, double usesMax, int pagesMax) {}
