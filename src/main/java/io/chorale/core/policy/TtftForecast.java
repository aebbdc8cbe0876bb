package io.chorale.core.policy;

/** How long a waiting request takes from its first step to its first token, as things are now. */
@FunctionalInterface
public interface TtftForecast {
    long nanosToFirstToken(SequenceView request);
}
