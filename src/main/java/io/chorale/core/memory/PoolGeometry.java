package io.chorale.core.memory;

import io.chorale.core.model.Check;

/**
 * What the device has to give: the page pool, which KV cache and adapters share, and the two kinds of slots.
 *
 * @param pageTokens tokens of KV that one page holds
 * @param slotsMax adapters resident at once
 * @param scratchMax sequences with penalties at once
 */
public record PoolGeometry(int pageCount, int pageTokens, int slotsMax, int scratchMax) {
    public PoolGeometry {
        Check.argument(pageCount >= 1, () -> "the pool has no pages");
        Check.argument(pageTokens >= 1, () -> "a page must hold at least one token");
        Check.argument(slotsMax >= 0 && scratchMax >= 0, () -> "slot counts must not be negative");
    }

    public int pagesFor(int tokens) {
        return (tokens + pageTokens - 1) / pageTokens;
    }
}
