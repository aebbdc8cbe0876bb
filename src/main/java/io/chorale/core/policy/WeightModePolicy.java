package io.chorale.core.policy;

/** Whether one adapter is merged into the base weights for the next step. */
public interface WeightModePolicy {
    /** A wish: the step stays unmerged while the adapter is not resident yet. */
    WeightMode choose(BatchDemand batch, long nowNanos);

    /** Whether the policy looks at the batch at all; if not, it is not drawn up. */
    default boolean looksAtBatch() {
        return true;
    }

    /** Never merges. */
    record AlwaysUnmerged() implements WeightModePolicy {
        @Override
        public WeightMode choose(BatchDemand batch, long nowNanos) {
            return WeightMode.UNMERGED;
        }

        @Override
        public boolean looksAtBatch() {
            return false;
        }
    }

    /** Merges what most requests want, as a server without batched adapters would have to. */
    final class AlwaysMerged implements WeightModePolicy {
        private final MergeWish wish;

        public AlwaysMerged(boolean mixture) {
            wish = new MergeWish(mixture);
        }

        @Override
        public WeightMode choose(BatchDemand batch, long nowNanos) {
            int most = batch.mostWanted();
            return most < 0 ? WeightMode.UNMERGED : wish.of(batch.version[most]);
        }
    }
}
