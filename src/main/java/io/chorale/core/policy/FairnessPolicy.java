package io.chorale.core.policy;

/** Which flow may go next. */
public interface FairnessPolicy {
    /** Lower goes first, ties by order of arrival. Asked whenever the head of the flow changes. */
    long rank(FlowView flow);

    /** First come, first served, over all flows: the baseline. */
    record ArrivalOrder() implements FairnessPolicy {
        @Override
        public long rank(FlowView flow) {
            return flow.head().order();
        }
    }
}
