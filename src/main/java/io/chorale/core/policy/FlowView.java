package io.chorale.core.policy;

import io.chorale.core.model.AdapterSet;

/** A flow, the unit of fairness: the waiting requests of one tenant with one adapter set, first come first out. */
public interface FlowView {
    int tenant();

    AdapterSet adapters();

    /** The request that would leave it next; a flow that is asked about is never empty. */
    SequenceView head();

    int waiting();
}
