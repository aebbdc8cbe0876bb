package io.chorale.core.sched;

import io.chorale.core.memory.DeviceAdapter;
import io.chorale.core.policy.StepShape;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** One plan and what its outcome will mean: who was in it, who draws each sample, and the moves that come true with it. */
final class StepRecord {
    final StepPlan plan = new StepPlan();
    final List<Sequence> members = new ArrayList<>();
    /** By sample. */
    final List<Sequence> drawers = new ArrayList<>();

    final List<DeviceAdapter> loads = new ArrayList<>();
    final List<DeviceAdapter> drops = new ArrayList<>();

    @Nullable
    DeviceAdapter merged;

    @Nullable
    DeviceAdapter unmerged;

    /** What its duration depends on. */
    final StepShape shape = new StepShape();
    /** Somebody takes part in a merged step by taking the merged adapter off. */
    boolean takesMergedOff;

    long plannedNanos;
    /** Requests that began with it. */
    int admitted;

    void reset(long stepId, long nowNanos) {
        plan.reset(stepId);
        shape.clear();
        takesMergedOff = false;
        admitted = 0;
        plannedNanos = nowNanos;
        members.clear();
        drawers.clear();
        loads.clear();
        drops.clear();
        merged = null;
        unmerged = null;
    }
}
