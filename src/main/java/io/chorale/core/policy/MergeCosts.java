package io.chorale.core.policy;

/** What one step's work takes when an adapter of the batch is merged, against when none is. */
final class MergeCosts {
    private final StepCostModel costs;
    private final StepShape shape = new StepShape();

    MergeCosts(StepCostModel costs) {
        this.costs = costs;
    }

    /** A step in which nothing is merged, with all that there is place for. */
    long unmergedNanos(BatchDemand batch) {
        StepShape all = batch.unmerged;
        int rows = batch.rowsPlaced();
        if (rows == all.rows) {
            return costs.stepNanos(all);
        }
        shape.clear().rows(rows, all.contextTokens * rows / all.rows);
        shape.adapters = all.adapters;
        shape.adapterPages = all.adapterPages;
        shape.adapterRows = (int) ((long) all.adapterRows * rows / all.rows);
        return costs.stepNanos(shape);
    }

    /** The same step with one adapter merged: all others come along, taking it off. */
    long mixtureNanos(BatchDemand batch, int adapter) {
        StepShape all = batch.unmerged;
        int rows = batch.rowsPlaced();
        int others = Math.ceilDiv((all.rows - batch.running[adapter]) * rows, Math.max(1, all.rows));
        shape.clear().rows(rows, all.contextTokens * rows / Math.max(1, all.rows));
        shape.adapters = others == 0 ? 0 : all.adapters;
        shape.adapterPages = others == 0 ? 0 : all.adapterPages;
        // The merged one's rows have nothing added; each of the others has its own, and the merged one off.
        shape.adapterRows = Math.min(all.adapterRows, others) + others;
        return costs.stepNanos(shape);
    }

    /** A step of the merged adapter's requests alone: those that run, and those that get the places of the others. */
    long aloneNanos(BatchDemand batch, int adapter) {
        int rows = batch.rowsAlone(adapter);
        shape.clear().rows(rows, batch.unmerged.contextTokens * rows / Math.max(1, batch.unmerged.rows));
        return costs.stepNanos(shape);
    }

    /** What such steps take to do as much as one in which nothing is merged. */
    long aloneNanosForAll(BatchDemand batch, int adapter) {
        return aloneNanos(batch, adapter) * batch.rowsPlaced() / Math.max(1, batch.rowsAlone(adapter));
    }

    /** What it takes to make the shadow weights. */
    long switchNanos(BatchDemand batch, int adapter) {
        shape.clear().rows(batch.unmerged.rows, batch.unmerged.contextTokens);
        long without = costs.stepNanos(shape);
        shape.mergePages = Math.max(1, batch.pages[adapter]);
        return costs.stepNanos(shape) - without;
    }
}
