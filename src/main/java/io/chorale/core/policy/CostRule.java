package io.chorale.core.policy;

/**
 * Merges when it pays by the cost model. What an adapter's merge would have saved is added up step by step; it is merged
 * when that has reached the price of the switch and what its answers have left is worth it once more. So it costs at most
 * twice what hindsight would have paid, whatever comes next. Once shadow weights exist, every step uses what is cheapest for
 * it: nothing merged, the others along taking the merged adapter off, or the others held back while requests of the merged
 * adapter have their places.
 *
 * <p>What the model doubts counts against merging, and against holding others back. Where it cannot say whether merging
 * pays, as before it has seen a merged step, that is tried for a few steps (see {@link MergeTrial}), and the rule above goes
 * on with what the model has learned.
 *
 * <p>Memory that the shadow weights take has a price while pages are short: their share of the pool could have held as
 * large a share of the batch.
 */
public final class CostRule implements WeightModePolicy {
    private static final int NONE = -1;
    /** What holding others back must save to be better than having them come along. */
    private static final double HOLDING_BACK = 1.25;
    /** Standard deviations of doubt. */
    private static final int SURE = 2;

    private final MergeCosts costs;
    private final boolean mixture;
    private final MergeWish together = new MergeWish(true);
    private final MergeWish alone = new MergeWish(false);
    private final int shadowPages;
    private final MergeTrial trial = new MergeTrial();
    private int merged = NONE;
    private int leader = NONE;
    private long forgoneNanos;

    /**
     * @param mixture whether others may come along
     * @param shadowPages pages that the shadow weights take from the pool; 0 where they have memory of their own
     */
    public CostRule(StepCostModel costs, boolean mixture, int shadowPages) {
        this.costs = new MergeCosts(costs);
        this.mixture = mixture;
        this.shadowPages = shadowPages;
    }

    @Override
    public WeightMode choose(BatchDemand batch, long nowNanos) {
        int most = batch.mostRunning();
        if (most >= 0) {
            trial.watch(batch, most, costs.unmergedNanos(batch));
            if (batch.version[most] != merged && !trial.running()) {
                consider(batch, most);
            }
        }
        int now = batch.indexOf(merged);
        if (trial.running() && now >= 0 && trial.goesOn(isKnown(batch, now))) {
            return merged(batch, now);
        }
        if (trial.running()) {
            endTrial(batch, now);
            now = batch.indexOf(merged);
        }
        if (now < 0) {
            return merged == NONE ? WeightMode.UNMERGED : WeightMode.PAUSED;
        }
        WeightMode cheapest = cheapest(batch, now);
        if (cheapest == WeightMode.PAUSED && shadowPages > 0 && batch.pagesShort) {
            merged = NONE;
            return WeightMode.UNMERGED;
        }
        return cheapest;
    }

    /** Of the three that shadow weights allow. Others are held back only where that is sure to pay. */
    private WeightMode cheapest(BatchDemand batch, int adapter) {
        long gain = gainNanos(batch, adapter);
        boolean others = batch.running[adapter] < batch.sequences();
        if (!others || comesAlong(batch, adapter) || gain > SURE * costs.aloneDoubtNanos(batch, adapter)) {
            return gain > 0 ? merged(batch, adapter) : WeightMode.PAUSED;
        }
        return mixture && savedNanos(batch, togetherNanos(batch, adapter)) > 0
                ? together.of(merged)
                : WeightMode.PAUSED;
    }

    private void consider(BatchDemand batch, int candidate) {
        if (batch.version[candidate] != leader) {
            leader = batch.version[candidate];
            forgoneNanos = 0;
        }
        int now = batch.indexOf(merged);
        long already = now < 0 ? 0 : Math.max(0, gainNanos(batch, now));
        long doubt = SURE * doubtNanos(batch, candidate);
        long likely = gainNanos(batch, candidate) - already;
        long gain = likely - doubt;
        forgoneNanos = Math.max(0, forgoneNanos + gain);
        long price = costs.switchNanos(batch, candidate) + SURE * costs.switchDoubtNanos(batch, candidate);
        long stepsLeft = batch.tokensLeft[candidate] / Math.max(1, batch.running[candidate]);
        if (gain > 0) {
            if (forgoneNanos >= price && gain * stepsLeft >= price) {
                merged = leader;
                forgoneNanos = 0;
            }
        } else if (merged == NONE && trial.pays(likely + doubt, stepsLeft, costs.switchNanos(batch, candidate))) {
            trial.begin(costs.switchNanos(batch, candidate));
            merged = leader;
        }
    }

    /** It stays merged if that is sure to pay by now: the switch is paid for. */
    private void endTrial(BatchDemand batch, int now) {
        long gain = now < 0 ? 0 : gainNanos(batch, now);
        trial.end(gain);
        forgoneNanos = 0;
        if (now < 0 || gain <= SURE * doubtNanos(batch, now)) {
            merged = NONE;
        }
    }

    /** Whether the model is sure that it pays, or that it does not. */
    private boolean isKnown(BatchDemand batch, int adapter) {
        return Math.abs(gainNanos(batch, adapter)) > SURE * doubtNanos(batch, adapter);
    }

    private long gainNanos(BatchDemand batch, int adapter) {
        return savedNanos(batch, Math.min(togetherNanos(batch, adapter), aloneNanos(batch, adapter)));
    }

    /** What a step that takes so long saves, less the price of the memory. */
    private long savedNanos(BatchDemand batch, long mergedNanos) {
        long unmerged = costs.unmergedNanos(batch);
        long memory = batch.pagesShort ? unmerged * shadowPages / Math.max(1, batch.pageCount) : 0;
        return unmerged - mergedNanos - memory;
    }

    private long doubtNanos(BatchDemand batch, int adapter) {
        return comesAlong(batch, adapter)
                ? costs.mixtureDoubtNanos(batch, adapter)
                : costs.aloneDoubtNanos(batch, adapter);
    }

    private long togetherNanos(BatchDemand batch, int adapter) {
        return mixture ? costs.mixtureNanos(batch, adapter) : Long.MAX_VALUE;
    }

    private long aloneNanos(BatchDemand batch, int adapter) {
        long nanos = costs.aloneNanosForAll(batch, adapter);
        return mixture ? (long) (nanos * HOLDING_BACK) : nanos;
    }

    /** Whether the others had better come along than be held back. */
    private boolean comesAlong(BatchDemand batch, int adapter) {
        return togetherNanos(batch, adapter) <= aloneNanos(batch, adapter);
    }

    private WeightMode merged(BatchDemand batch, int adapter) {
        return comesAlong(batch, adapter) ? together.of(merged) : alone.of(merged);
    }
}
