package io.chorale.core.model;

/** Why the door refused a request before it was queued. */
public enum Rejection {
    /** Prompt and answer together are longer than the model's context. */
    CONTEXT_EXCEEDED(false),
    /** It would not fit even if nothing else were in the page pool. */
    NEVER_FITS(false),
    /** Its tenant has as many requests here as it may. */
    TENANT_BUSY(true),
    /** Its tenant has used up what it may have in this time. */
    QUOTA_EXCEEDED(true),
    /** It would wait so long that its time to first token cannot be met. */
    SLO_UNREACHABLE(true),
    /** As many requests wait as may. */
    QUEUE_FULL(true),
    /** The waiting prompts have as many tokens as they may. */
    QUEUE_TOKENS_FULL(true);

    private final boolean retryable;

    Rejection(boolean retryable) {
        this.retryable = retryable;
    }

    /** Whether the same request may succeed when it is sent again. */
    public boolean retryable() {
        return retryable;
    }
}
