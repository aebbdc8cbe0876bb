package io.chorale.core.policy;

/** What the base linears multiply with in one step. */
public sealed interface WeightMode {
    /** The pristine weights; every adapter is added row by row. Shadow weights are given up. */
    record Unmerged() implements WeightMode {}

    /** The same, but shadow weights that exist are kept for later. */
    record Paused() implements WeightMode {}

    /**
     * Weights with one adapter merged in: its rows need nothing added.
     *
     * @param mixture whether other rows join by subtracting the merged adapter (scale -1); otherwise they wait
     */
    record Merged(int version, boolean mixture) implements WeightMode {}

    WeightMode UNMERGED = new Unmerged();

    WeightMode PAUSED = new Paused();
}
