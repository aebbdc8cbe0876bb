package io.chorale.simulate;

import java.util.Arrays;

/**
 * How long a step takes on one device with one base model:
 *
 * <pre>
 * max(floor, dense(rows) + context + pairs + adapters) + host + sequences + uploads + merges
 * </pre>
 *
 * where the floor is what the host needs to launch a step, and dense(rows) is what the base model's products take: linear
 * between the measured points, and with the last slope beyond them.
 *
 * @param floorNanos the host's part of a step without adapters
 * @param floorAdaptersNanos what a step with adapters adds to it
 * @param rows of the measured points, ascending
 * @param rowsNanos what they took
 * @param contextTokenNanos of each token that attention reads for a row of its own
 * @param pairNanos of each pair of a prompt's row and a token before it
 * @param adaptersNanos of a step with any adapter
 * @param adapterNanos of each distinct adapter
 * @param adapterRankNanos of each rank of a distinct adapter: bytes read once a step
 * @param rowRankNanos of each row times its rank: products, and bytes where each row reads them again
 * @param rowLargestRankNanos of each row with an adapter times the largest rank in the step: of kernels that pad
 * @param promptTiles how its kernels for prompts read adapters
 * @param uploadRankNanos of each rank of an adapter uploaded, on the device
 * @param host what the host takes besides
 * @param mergeNanos of making the shadow weights of an adapter, or of switching in place
 */
public record DeviceCosts(
        double floorNanos,
        double floorAdaptersNanos,
        int[] rows,
        double[] rowsNanos,
        double contextTokenNanos,
        double pairNanos,
        double adaptersNanos,
        double adapterNanos,
        double adapterRankNanos,
        double rowRankNanos,
        double rowLargestRankNanos,
        PromptTiles promptTiles,
        double uploadRankNanos,
        HostCosts host,
        double mergeNanos) {

    public DeviceCosts {
        if (rows.length < 2 || rows.length != rowsNanos.length) {
            throw new IllegalArgumentException("costs of rows need at least two points");
        }
        for (int i = 1; i < rows.length; i++) {
            if (rows[i] <= rows[i - 1] || rowsNanos[i] < rowsNanos[i - 1] || rowsNanos[0] < 0) {
                throw new IllegalArgumentException("costs of rows must ascend in rows and not descend in time");
            }
        }
    }

    DeviceCosts times(double factor) {
        return new DeviceCosts(
                floorNanos * factor,
                floorAdaptersNanos * factor,
                rows,
                Arrays.stream(rowsNanos).map(nanos -> nanos * factor).toArray(),
                contextTokenNanos * factor,
                pairNanos * factor,
                adaptersNanos * factor,
                adapterNanos * factor,
                adapterRankNanos * factor,
                rowRankNanos * factor,
                rowLargestRankNanos * factor,
                promptTiles,
                uploadRankNanos * factor,
                host.times(factor),
                mergeNanos * factor);
    }

    long nanos(StepLoad step) {
        double device = step.rows == 0 ? 0 : dense(step.rows);
        device += step.contextTokens * contextTokenNanos + step.pairs * pairNanos;
        double floor = step.rows == 0 ? 0 : floorNanos;
        if (step.adapters > 0) {
            floor += floorAdaptersNanos;
            device += adaptersNanos
                    + step.adapters * adapterNanos
                    + step.adapterRanks * adapterRankNanos
                    + step.rowRanks * rowRankNanos
                    + step.rowLargestRanks * rowLargestRankNanos;
        }
        return (long) (Math.max(floor, device)
                + (step.rows == 0 ? 0 : host.stepNanos())
                + step.sequences * host.sequenceNanos()
                + step.sequencesWithAdapter * host.sequenceAdapterNanos()
                + Math.max(step.uploads * host.uploadNanos(), step.uploadRanks * uploadRankNanos)
                + step.merges * mergeNanos);
    }

    /** The base model's products for so many rows. */
    double dense(int count) {
        int i = 1;
        while (i < rows.length - 1 && count > rows[i]) {
            i++;
        }
        double slope = (rowsNanos[i] - rowsNanos[i - 1]) / (rows[i] - rows[i - 1]);
        return rowsNanos[i - 1] + slope * (count - rows[i - 1]);
    }
}
