package io.chorale.core.policy;

/** What one step's work takes when an adapter of the batch is merged, against when none is. */
final class MergeCosts {
    private final StepCostModel costs;
    private final StepShape unmerged = new StepShape();
    private final StepShape merged = new StepShape();

    MergeCosts(StepCostModel costs) {
        this.costs = costs;
    }

    /** A step in which nothing is merged, with all that there is place for. */
    long unmergedNanos(BatchDemand batch) {
        return costs.stepNanos(unmerged(batch));
    }

    private StepShape unmerged(BatchDemand batch) {
        StepShape all = batch.unmerged;
        int rows = batch.rowsPlaced();
        if (rows == all.rows) {
            return all;
        }
        unmerged.clear().rows(rows, all.contextTokens * rows / all.rows);
        unmerged.adapters = all.adapters;
        unmerged.adapterPages = all.adapterPages;
        unmerged.adapterRows = (int) ((long) all.adapterRows * rows / all.rows);
        return unmerged;
    }

    /** The same step with one adapter merged: all others come along, taking it off. */
    long mixtureNanos(BatchDemand batch, int adapter) {
        return costs.stepNanos(mixture(batch, adapter));
    }

    /** How far what is saved by such a step may be off. */
    long mixtureDoubtNanos(BatchDemand batch, int adapter) {
        return costs.doubtNanos(unmerged(batch), mixture(batch, adapter), 1);
    }

    private StepShape mixture(BatchDemand batch, int adapter) {
        StepShape all = batch.unmerged;
        int rows = batch.rowsPlaced();
        int others = Math.ceilDiv((all.rows - batch.running[adapter]) * rows, Math.max(1, all.rows));
        merged.clear().rows(rows, all.contextTokens * rows / Math.max(1, all.rows));
        merged.adapters = others == 0 ? 0 : all.adapters;
        merged.adapterPages = others == 0 ? 0 : all.adapterPages;
        // The merged one's rows have nothing added; each of the others has its own, and the merged one off.
        merged.adapterRows = Math.min(all.adapterRows, others) + others;
        return merged;
    }

    /** A step of the merged adapter's requests alone: those that run, and those that get the places of the others. */
    long aloneNanos(BatchDemand batch, int adapter) {
        return costs.stepNanos(alone(batch, adapter));
    }

    private StepShape alone(BatchDemand batch, int adapter) {
        int rows = batch.rowsAlone(adapter);
        return merged.clear().rows(rows, batch.unmerged.contextTokens * rows / Math.max(1, batch.unmerged.rows));
    }

    /** What such steps take to do as much as one in which nothing is merged. */
    long aloneNanosForAll(BatchDemand batch, int adapter) {
        return aloneNanos(batch, adapter) * batch.rowsPlaced() / Math.max(1, batch.rowsAlone(adapter));
    }

    /** How far what is saved by such steps may be off. */
    long aloneDoubtNanos(BatchDemand batch, int adapter) {
        double part = (double) batch.rowsPlaced() / Math.max(1, batch.rowsAlone(adapter));
        return costs.doubtNanos(unmerged(batch), alone(batch, adapter), part);
    }

    /** What it takes to make the shadow weights. */
    long switchNanos(BatchDemand batch, int adapter) {
        unmerged.clear().rows(batch.unmerged.rows, batch.unmerged.contextTokens);
        return costs.stepNanos(switching(batch, adapter)) - costs.stepNanos(unmerged);
    }

    /** How far that may be off. */
    long switchDoubtNanos(BatchDemand batch, int adapter) {
        unmerged.clear().rows(batch.unmerged.rows, batch.unmerged.contextTokens);
        return costs.doubtNanos(switching(batch, adapter), unmerged, 1);
    }

    private StepShape switching(BatchDemand batch, int adapter) {
        merged.clear().rows(batch.unmerged.rows, batch.unmerged.contextTokens);
        merged.mergePages = Math.max(1, batch.pages[adapter]);
        return merged;
    }
}
