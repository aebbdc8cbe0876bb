package io.chorale.core.policy;

/** A flow, the unit of fairness: the waiting requests of one tenant with one adapter set. */
public interface FlowView {
    /** The request that would leave it next; a flow that is asked about is never empty. */
    SequenceView head();

    int waiting();

    /** Whether its latest request is its head. */
    boolean newestFirst();

    /** What it has been served, in the same units for all flows of a tenant. */
    long service();

    /** For how long merged steps have held it back beyond what it has held back others. */
    long creditNanos();
}
