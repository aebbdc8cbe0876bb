package io.chorale.core.policy;

/** What one step takes when an adapter of the batch is merged, against when none is. */
final class MergeCosts {
    private final StepCostModel costs;
    private final boolean mixture;
    private final StepShape shape = new StepShape();

    MergeCosts(StepCostModel costs, boolean mixture) {
        this.costs = costs;
        this.mixture = mixture;
    }

    long unmergedNanos(BatchDemand batch) {
        return costs.stepNanos(batch.unmerged);
    }

    /**
     * A merged step that does as much as an unmerged one. In a mixture all others come along, taking the merged adapter
     * off; without, they wait, so that as much takes longer by their share.
     */
    long mergedNanos(BatchDemand batch, int adapter) {
        StepShape all = batch.unmerged;
        int its = batch.running[adapter];
        int others = all.rows - its;
        shape.clear();
        if (mixture) {
            shape.rows(all.rows, all.contextTokens);
            shape.adapters = others == 0 ? 0 : all.adapters;
            shape.adapterPages = others == 0 ? 0 : all.adapterPages;
            shape.adapterRows = all.adapterRows - its + others; // their own, and the merged one off
            return costs.stepNanos(shape);
        }
        shape.rows(its, all.contextTokens * its / Math.max(1, all.rows));
        return costs.stepNanos(shape) * all.rows / Math.max(1, its);
    }

    /** What it takes to make the shadow weights. */
    long switchNanos(BatchDemand batch, int adapter) {
        shape.clear().rows(batch.unmerged.rows, batch.unmerged.contextTokens);
        long without = costs.stepNanos(shape);
        shape.mergePages = Math.max(1, batch.pages[adapter]);
        return costs.stepNanos(shape) - without;
    }
}
