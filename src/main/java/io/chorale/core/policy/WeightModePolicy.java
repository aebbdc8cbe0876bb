package io.chorale.core.policy;

import java.util.List;

/** Whether one adapter is merged into the base weights for the next step. */
public interface WeightModePolicy {
    /** A wish: the step stays unmerged while the adapter is not resident yet. */
    WeightMode choose(List<? extends SequenceView> running, long nowNanos);

    /** Never merges. */
    record AlwaysUnmerged() implements WeightModePolicy {
        @Override
        public WeightMode choose(List<? extends SequenceView> running, long nowNanos) {
            return WeightMode.UNMERGED;
        }
    }
}
