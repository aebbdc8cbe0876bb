package io.chorale.core.policy;

import io.chorale.core.model.AdapterSet;

/** What policies may know of a request, waiting or running. */
public interface SequenceView {
    /** Grows by one with every request submitted. */
    long order();

    AdapterSet adapters();

    long arrivalNanos();

    /** 0: none. */
    long ttftNanosMax();

    int promptTokens();

    /** Tokens of the answer so far. */
    int answerTokens();
}
