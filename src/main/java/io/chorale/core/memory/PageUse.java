package io.chorale.core.memory;

/** What a page of the pool is used for. */
public enum PageUse {
    FREE,
    KV,
    ADAPTER,
    /** Given back while a step was in flight that may still read or write it. */
    QUARANTINED
}
