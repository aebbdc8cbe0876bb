package io.chorale.core.model;

/** Why an accepted request ended without a full answer. */
public enum DropReason {
    /** Early abort: it waited so long that its time to first token cannot be met any more. */
    SLO_UNREACHABLE(true),
    /** Its tenant has used up what it may have in this time. */
    QUOTA_EXCEEDED(true),
    /** The client went away, or text matched a stop string. */
    CANCELLED(false),
    /** The client reads more slowly than its bounded buffer allows, or not at all. */
    SLOW_CONSUMER(false),
    /** It can never be served here: too long for the context or the pool, or a token that is not in the vocabulary. */
    REFUSED(false),
    /** Its adapter could not be read or does not fit this base model. */
    ADAPTER_FAILED(false),
    /** Its adapter cannot be loaded at this moment: others in use leave no host memory, or its files are being replaced. */
    ADAPTER_UNAVAILABLE(true),
    /** The engine refused its step, or the step failed; the engine goes on. */
    STEP_FAILED(true),
    /** Its logits are not finite, or every token is forbidden: there was nothing to draw, nor would there be again. */
    NO_TOKEN(false),
    /** The engine is dead. */
    ENGINE_DEAD(true),
    /** The server is shutting down. */
    DRAINING(true);

    private final boolean retryable;

    DropReason(boolean retryable) {
        this.retryable = retryable;
    }

    /** Whether the same request may succeed when it is sent again. */
    public boolean retryable() {
        return retryable;
    }
}
