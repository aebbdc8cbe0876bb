package io.chorale.core.model;

/** Tokens that a request took: its prompt's, its answer's, and how many of the prompt's were found in a cache. */
public record Usage(int promptTokens, int completionTokens, int cachedTokens) {}
