package io.chorale.core.policy;

/**
 * Merges when it pays by the cost model. What an adapter's merge would have saved is added up step by step; it is merged
 * when that has reached the price of the switch and what its answers have left is worth it once more. So it costs at most
 * twice what hindsight would have paid, whatever comes next. Once shadow weights exist, every step uses what is cheapest for
 * it: nothing merged, the others along taking the merged adapter off, or the others held back while requests of the merged
 * adapter have their places.
 *
 * <p>Memory that the shadow weights take has a price while pages are short: their share of the pool could have held as
 * large a share of the batch.
 */
public final class CostRule implements WeightModePolicy {
    private static final int NONE = -1;
    /** What holding others back must save to be better than having them come along. */
    private static final double HOLDING_BACK = 1.25;

    private final MergeCosts costs;
    private final boolean mixture;
    private final MergeWish together = new MergeWish(true);
    private final MergeWish alone = new MergeWish(false);
    private final int shadowPages;
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
        if (most >= 0 && batch.version[most] != merged) {
            consider(batch, most);
        }
        int now = batch.indexOf(merged);
        if (now < 0) {
            return merged == NONE ? WeightMode.UNMERGED : WeightMode.PAUSED;
        }
        if (shadowPages > 0 && batch.pagesShort && gainNanos(batch, now) <= 0) {
            merged = NONE;
            return WeightMode.UNMERGED;
        }
        return gainNanos(batch, now) > 0 ? merged(batch, now) : WeightMode.PAUSED;
    }

    private void consider(BatchDemand batch, int candidate) {
        if (batch.version[candidate] != leader) {
            leader = batch.version[candidate];
            forgoneNanos = 0;
        }
        int now = batch.indexOf(merged);
        long already = now < 0 ? 0 : Math.max(0, gainNanos(batch, now));
        long gain = gainNanos(batch, candidate) - already;
        forgoneNanos = Math.max(0, forgoneNanos + gain);
        long price = costs.switchNanos(batch, candidate);
        long stepsLeft = batch.tokensLeft[candidate] / Math.max(1, batch.running[candidate]);
        if (gain > 0 && forgoneNanos >= price && gain * stepsLeft >= price) {
            merged = leader;
            forgoneNanos = 0;
        }
    }

    private long gainNanos(BatchDemand batch, int adapter) {
        long unmerged = costs.unmergedNanos(batch);
        long memory = batch.pagesShort ? unmerged * shadowPages / Math.max(1, batch.pageCount) : 0;
        return unmerged - Math.min(togetherNanos(batch, adapter), aloneNanos(batch, adapter)) - memory;
    }

    private long togetherNanos(BatchDemand batch, int adapter) {
        return mixture ? costs.mixtureNanos(batch, adapter) : Long.MAX_VALUE;
    }

    private long aloneNanos(BatchDemand batch, int adapter) {
        long nanos = costs.aloneNanosForAll(batch, adapter);
        return mixture ? (long) (nanos * HOLDING_BACK) : nanos;
    }

    private WeightMode merged(BatchDemand batch, int adapter) {
        return togetherNanos(batch, adapter) <= aloneNanos(batch, adapter) ? together.of(merged) : alone.of(merged);
    }
}
