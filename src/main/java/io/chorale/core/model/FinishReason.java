package io.chorale.core.model;

/** Why a request ended with a full answer. */
public enum FinishReason {
    /** A stop token was drawn. */
    STOP,
    /** The token limit of the request, or the context, is reached. */
    LENGTH
}
