package io.chorale.core.sched;

import io.chorale.core.memory.DeviceAdapter;
import io.chorale.core.policy.SequenceView;
import io.chorale.core.policy.StepCostModel;
import io.chorale.core.policy.StepShape;
import io.chorale.core.policy.TtftForecast;

/**
 * How long a request takes from its first step to its first token: its prompt in chunks, each in a step together with
 * everybody who runs, and the upload of what is not on the device.
 */
final class Forecast implements TtftForecast {
    private final SchedulerLimits limits;
    private final StepCostModel costs;
    private final Ledger ledger;
    private final StepShape shape = new StepShape();

    Forecast(SchedulerLimits limits, StepCostModel costs, Ledger ledger) {
        this.limits = limits;
        this.costs = costs;
        this.ledger = ledger;
    }

    /** A step of those who run, without prompts. */
    long stepNanos() {
        return costs.stepNanos(decoding(0));
    }

    /** What each token of a prompt adds to it. */
    long prefillTokenNanos() {
        int tokens = limits.prefillChunkTokens();
        return Math.max(0, costs.stepNanos(decoding(tokens)) - stepNanos()) / tokens;
    }

    private StepShape decoding(int promptTokens) {
        int decoding = ledger.running.size();
        shape.clear().rows(decoding + promptTokens, ledger.contextTokens + promptTokens);
        shape.adapters = ledger.residency.pinnedCount();
        return shape;
    }

    @Override
    public long nanosToFirstToken(SequenceView request) {
        AdapterGroup group = ledger.groupOf(request.adapters());
        int loadPages = 0;
        int adapterPages = 0;
        if (group != null) {
            for (DeviceAdapter adapter : group.adapters) {
                adapterPages += adapter.pagesNeeded();
                loadPages += adapter.onDevice() ? 0 : adapter.pagesNeeded();
            }
        }
        return nanos(request.promptTokens(), request.adapters().versions().length, adapterPages, loadPages);
    }

    /** @param loadPages of its adapters, to be uploaded first */
    long nanos(int promptTokens, int adapters, int adapterPages, int loadPages) {
        int decoding = ledger.running.size();
        int chunk = Math.max(
                1,
                Math.min(
                        limits.prefillChunkTokens(),
                        limits.stepTokensMax() - Math.min(decoding, limits.sequencesMax())));
        long steps = Math.ceilDiv(promptTokens, chunk);
        shape.clear().rows(decoding + Math.min(chunk, promptTokens), ledger.contextTokens + promptTokens);
        shape.adapters = ledger.residency.pinnedCount() + adapters;
        shape.adapterPages = adapterPages;
        shape.adapterRows = shape.rows;
        long step = costs.stepNanos(shape);
        shape.loadPages = loadPages;
        return (steps - 1) * step + costs.stepNanos(shape);
    }
}
