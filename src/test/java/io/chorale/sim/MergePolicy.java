package io.chorale.sim;

import io.chorale.core.policy.BatchDemand;
import io.chorale.core.policy.WeightMode;
import io.chorale.core.policy.WeightModePolicy;

/**
 * Merges in turns: for {@code period} steps it wishes one of the versions, then none for as many, then the next.
 * Long enough periods are "always".
 */
final class MergePolicy implements WeightModePolicy {
    private final int versions;
    private final boolean mixture;
    private final long period;
    private long asked;

    MergePolicy(int versions, boolean mixture, long period) {
        this.versions = versions;
        this.mixture = mixture;
        this.period = period;
    }

    @Override
    public WeightMode choose(BatchDemand batch, long nowNanos) {
        long turn = asked++ / period;
        return turn % 2 == 1 ? WeightMode.UNMERGED : new WeightMode.Merged(1 + (int) (turn / 2 % versions), mixture);
    }
}
