package io.chorale.core.policy;

/** When a waiting request fits. */
public enum MemoryRule {
    /**
     * Its known tokens fit now, and one more page for each running sequence. Answers mostly end long before their limit,
     * so this keeps the pool full; a wrong guess costs a preemption.
     */
    OPTIMISTIC,
    /** Also the peak of all answers at their full length fits: hardly ever preempts, and leaves pages empty. */
    PEAK_DEMAND
}
