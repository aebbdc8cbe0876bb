package io.chorale.core.policy;

/**
 * dLoRA's switching: merged while one adapter's requests fill a large enough share of what would run, with one threshold
 * for going there and a lower one for staying. Both adapt when the mode changes, by what merged and unmerged steps would
 * have got done since (additive towards switching more readily, multiplicative away from it), as in the artifact of the
 * paper; only the times are the cost model's instead of constants.
 */
public final class ThresholdRule implements WeightModePolicy {
    private static final double AWAY = 1.1;
    private static final double TOWARDS = 0.05;
    private static final int NONE = -1;

    private final MergeCosts costs;
    private final MergeWish wish;
    private double enterShare = 1;
    private double stayShare;
    private int merged = NONE;
    private int leader = NONE;

    // Since the mode changed last.
    private double mergedNanos;
    private double unmergedNanos;
    private double mergedRequests;
    private double unmergedRequests;
    private double switchNanos;
    private int leaderChanges;

    /** @param speedRatio what a merged step takes of an unmerged one: the share from which on staying pays, at first */
    public ThresholdRule(StepCostModel costs, double speedRatio) {
        this.costs = new MergeCosts(costs);
        this.wish = new MergeWish(false);
        this.stayShare = speedRatio;
    }

    @Override
    public WeightMode choose(BatchDemand batch, long nowNanos) {
        int most = batch.mostWanted();
        if (most < 0) {
            leave();
            return WeightMode.UNMERGED;
        }
        int line = Math.min(batch.requests, batch.runningMax);
        int now = batch.indexOf(merged);
        if (now >= 0 && Math.min(batch.wanted[now], line) >= stayShare * line) {
            count(batch, now, line);
            return wish.of(merged);
        }
        leave();
        if (Math.min(batch.wanted[most], line) >= enterShare * line) {
            adapt(false);
            merged = batch.version[most];
            count(batch, most, line);
            return wish.of(merged);
        }
        if (batch.version[most] != leader) {
            leader = batch.version[most];
            leaderChanges++;
        }
        count(batch, most, line);
        return WeightMode.UNMERGED;
    }

    private void leave() {
        if (merged != NONE) {
            adapt(true);
            merged = NONE;
        }
    }

    /** One step: what it would get done in either mode, and what it would take. */
    private void count(BatchDemand batch, int adapter, int line) {
        mergedRequests += Math.min(batch.wanted[adapter], line);
        unmergedRequests += line;
        unmergedNanos += costs.unmergedNanos(batch);
        mergedNanos += costs.aloneNanos(batch, adapter);
        switchNanos = costs.switchNanos(batch, adapter);
    }

    private void adapt(boolean leavingMerged) {
        double switches = leavingMerged ? 1 : leaderChanges;
        double merging = mergedRequests / Math.max(1, mergedNanos + switchNanos * switches);
        double batching = unmergedRequests / Math.max(1, unmergedNanos + (leavingMerged ? 0 : switchNanos));
        if (leavingMerged && merging > batching) {
            enterShare = Math.max(stayShare, enterShare - TOWARDS);
        } else if (leavingMerged && merging < batching) {
            enterShare *= AWAY;
        } else if (!leavingMerged && batching > merging) {
            stayShare = Math.min(enterShare, stayShare + TOWARDS);
        } else if (!leavingMerged && batching < merging) {
            stayShare /= AWAY;
        }
        mergedNanos = 0;
        unmergedNanos = 0;
        mergedRequests = 0;
        unmergedRequests = 0;
        leaderChanges = 0;
    }

    /** Share of the line that one adapter must have for steps to become merged. */
    public double enterShare() {
        return enterShare;
    }

    /** Share of the line that it must keep for them to stay so. */
    public double stayShare() {
        return stayShare;
    }
}
