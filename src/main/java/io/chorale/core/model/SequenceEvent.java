package io.chorale.core.model;

/**
 * What happens to one accepted request, in order: {@code Started? Token* (Finished | Dropped)}. Exactly one terminal
 * event ends it, whatever happens.
 */
public sealed interface SequenceEvent {
    long requestId();

    /**
     * Its first step has been planned.
     *
     * @param cachedTokens of its prompt that were computed already
     */
    record Started(long requestId, long queuedNanos, int cachedTokens) implements SequenceEvent {}

    /**
     * One token of the answer.
     *
     * @param logProb NaN unless the request asked for log-probabilities
     */
    record Token(long requestId, int tokenId, float logProb, TopLogProbs top) implements SequenceEvent {}

    /** @param stopTokenId the token that ended it, -1 when {@code reason} is LENGTH; it is not sent as a Token */
    record Finished(long requestId, FinishReason reason, int stopTokenId, Usage usage) implements SequenceEvent {}

    /**
     * @param detail a sentence for the client, naming what went wrong
     * @param retryAfterNanos when it may be tried again; 0 where nothing is known
     */
    record Dropped(long requestId, DropReason reason, String detail, Usage usage, long retryAfterNanos)
            implements SequenceEvent {
        public Dropped(long requestId, DropReason reason, String detail, Usage usage) {
            this(requestId, reason, detail, usage, 0);
        }
    }
}
