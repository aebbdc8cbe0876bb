package io.chorale.core.memory;

/** What a page of the pool is used for. */
public enum PageUse {
    FREE,
    KV,
    ADAPTER,
    /** Given back while a step was in flight that may still read or write it. */
    QUARANTINED,
    /** Keys and values that nobody uses now: kept for whoever comes with the same beginning, until a page is wanted. */
    CACHED
}
