package io.chorale.core.sched;

import io.chorale.core.memory.AdapterResidency;
import io.chorale.core.memory.DeviceAdapter;
import io.chorale.core.policy.WeightMode;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Whether shadow weights with one adapter merged in exist, and whether the step being planned uses them.
 *
 * <p>While a merge or unmerge is in a step that has not ended, no other is planned: a refused step is then undone by one
 * assignment. The merged adapter is pinned until its unmerge has ended.
 */
final class MergedWeights {
    private final AdapterResidency residency;
    private @Nullable DeviceAdapter shadow;
    private boolean switching;
    /** Whose unmerge has not ended. */
    private @Nullable DeviceAdapter leaving;

    /** The shadow weights may be missing or wrong: they are given up at the next step. */
    private boolean broken;

    private boolean active;
    private long merges;
    private long mergedSteps;
    private boolean mixture;

    MergedWeights(AdapterResidency residency) {
        this.residency = residency;
    }

    void choose(WeightMode wish, List<Sequence> running, StepRecord step) {
        active = false;
        step.plan.mergedSlot = -1;
        if (shadow != null && (broken || (!switching && shadow.isGone()))) {
            broken = false;
            unmerge(shadow, step);
        }
        switch (wish) {
            case WeightMode.Unmerged() -> {
                if (shadow != null && !switching) {
                    unmerge(shadow, step);
                }
            }
            case WeightMode.Paused() -> {}
            case WeightMode.Merged(int version, boolean mixed) -> {
                if (!isUsed(version, running)) {
                    return; // nobody would gain, and in plain merged mode nobody could go on
                }
                DeviceAdapter adapter = residency.find(version);
                boolean resident = adapter != null && adapter.state() == DeviceAdapter.State.RESIDENT;
                if (adapter != null && adapter.mergeable() && adapter != shadow && resident && !switching) {
                    if (shadow != null) {
                        unmerge(shadow, step);
                    }
                    merge(adapter, step);
                }
                active = adapter != null && adapter == shadow;
                mixture = mixed;
            }
        }
        DeviceAdapter used = inUse();
        if (used != null) {
            step.plan.mergedSlot = used.slot();
            mergedSteps++;
        }
    }

    private static boolean isUsed(int version, List<Sequence> running) {
        for (int i = 0; i < running.size(); i++) {
            int[] versions = running.get(i).groupNow().set.versions();
            if (versions.length == 1 && versions[0] == version) {
                return true;
            }
        }
        return false;
    }

    private void merge(DeviceAdapter adapter, StepRecord step) {
        step.plan.addMove(StepPlan.MOVE_MERGE, adapter.slot());
        step.merged = adapter;
        merges++;
        shadow = adapter;
        residency.pin(adapter);
        switching = true;
    }

    private void unmerge(DeviceAdapter adapter, StepRecord step) {
        step.plan.addMove(StepPlan.MOVE_UNMERGE, adapter.slot());
        step.plan.mergedSlot = -1;
        step.unmerged = adapter;
        shadow = null;
        active = false;
        switching = true;
        leaving = adapter;
    }

    /** Memory or a place in the batch is short: a merged adapter that no running sequence uses goes. Whether one does. */
    boolean stepAside(StepRecord step) {
        if (shadow != null && !switching && shadow.pins() == 1) {
            unmerge(shadow, step);
        }
        return leaving != null;
    }

    /** The adapter in the base weights of this step, or null. */
    @Nullable
    DeviceAdapter inUse() {
        return active ? shadow : null;
    }

    /** Whether the base weights of this step are exactly what the group wants. */
    boolean covers(AdapterGroup group) {
        return active
                && group.adapters.length == 1
                && group.adapters[0] == shadow
                && group.set.scales()[0] == 1;
    }

    /** Whether the group has to sit this step out. */
    boolean bars(AdapterGroup group) {
        return active && !mixture && !covers(group);
    }

    /** Adapters merged since the start. */
    long merges() {
        return merges;
    }

    /** Steps planned with merged weights. */
    long mergedSteps() {
        return mergedSteps;
    }

    boolean isActive() {
        return active;
    }

    /** How many pins of an adapter are ours. */
    int pins(DeviceAdapter adapter) {
        return (adapter == shadow ? 1 : 0) + (adapter == leaving ? 1 : 0);
    }

    /** Adapters that are pinned because of a merge alone: no running sequence uses them. */
    int idle() {
        return (shadow != null && shadow.pins() == 1 ? 1 : 0) + (leaving != null && leaving.pins() == 1 ? 1 : 0);
    }

    /** The step has ended and its moves have happened. A merge in a step that failed is not trusted. */
    void switched(StepRecord step, boolean stepFailed) {
        if (step.merged == null && step.unmerged == null) {
            return;
        }
        switching = false;
        leaving = null;
        broken = step.merged != null && stepFailed;
        if (step.merged != null && stepFailed) {
            step.merged.mergeFailed();
        }
        if (step.unmerged != null) {
            residency.unpin(step.unmerged);
        }
    }

    /** The step was refused: what was merged before still is. */
    void switchRefused(StepRecord step) {
        if (step.merged == null && step.unmerged == null) {
            return;
        }
        switching = false;
        leaving = null;
        shadow = step.unmerged;
        if (step.merged != null) {
            step.merged.mergeFailed();
            residency.unpin(step.merged);
        }
    }
}
