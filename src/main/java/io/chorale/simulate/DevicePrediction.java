package io.chorale.simulate;

import io.chorale.core.policy.StepCostModel;
import io.chorale.core.policy.StepShape;

/** What a scheduler knows of a device: its costs, asked with the coarser shape that policies can see. */
final class DevicePrediction implements StepCostModel {
    private final DeviceProfile device;
    private final StepLoad load = new StepLoad();

    DevicePrediction(DeviceProfile device) {
        this.device = device;
    }

    @Override
    public long stepNanos(StepShape step) {
        double ranksPerPage = 1 / device.pagesPerRank();
        load.clear();
        load.rows = step.rows;
        load.contextTokens = step.contextTokens;
        load.adapters = step.adapters;
        load.adapterRanks = Math.round(step.adapterPages * ranksPerPage);
        load.rowRanks = step.adapters == 0 ? 0 : step.adapterRows * load.adapterRanks / step.adapters;
        load.rowLargestRanks = load.rowRanks; // the shape does not say which rank is whose
        load.uploadRanks = Math.round(step.loadPages * ranksPerPage);
        load.merges = step.mergePages > 0 ? 1 : 0;
        return device.costs().nanos(load);
    }
}
