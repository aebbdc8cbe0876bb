package io.chorale.core.model;

/**
 * How much of what comes was computed before, after one step. Counters only grow while the server runs.
 *
 * @param pagesCached pages that nobody uses, kept for whoever comes with the same beginning; as good as free
 * @param tokensQueried prompt tokens of the requests that began
 * @param tokensFound of them, those whose keys and values were there
 * @param pagesEvicted cached pages that were wanted for something else
 */
public record PrefixState(int pagesCached, long tokensQueried, long tokensFound, long pagesEvicted) {
    public static final PrefixState EMPTY = new PrefixState(0, 0, 0, 0);
}
