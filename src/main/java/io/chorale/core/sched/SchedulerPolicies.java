package io.chorale.core.sched;

import io.chorale.core.policy.AdapterClusterPolicy;
import io.chorale.core.policy.EarlyAbortPolicy;
import io.chorale.core.policy.EvictionPolicy;
import io.chorale.core.policy.FairnessPolicy;
import io.chorale.core.policy.MemoryRule;
import io.chorale.core.policy.PolicySettings;
import io.chorale.core.policy.PreemptionPolicy;
import io.chorale.core.policy.StepCostModel;
import io.chorale.core.policy.WeightModePolicy;

/** The decisions that the scheduler delegates. Some of them remember: they belong to one scheduler. */
public record SchedulerPolicies(
        FairnessPolicy fairness,
        AdapterClusterPolicy cluster,
        EarlyAbortPolicy earlyAbort,
        MemoryRule memory,
        WeightModePolicy weightMode,
        PreemptionPolicy preemption,
        EvictionPolicy eviction) {

    /** The plain choice everywhere: arrival order, no clustering, no aborts, unmerged, latest yields, LRU. */
    public static final SchedulerPolicies PLAIN = of(PolicySettings.FCFS, StepCostModel.Linear.FREE);

    /**
     * The policies that settings name.
     *
     * @param costs what steps take; asked for estimates
     */
    public static SchedulerPolicies of(PolicySettings settings, StepCostModel costs) {
        return new SchedulerPolicies(
                new FairnessPolicy.ArrivalOrder(),
                new AdapterClusterPolicy.Unrestricted(),
                settings.abort().estimate() == PolicySettings.Estimate.NEVER
                        ? new EarlyAbortPolicy.Never()
                        : new EarlyAbortPolicy.TtftRule(costs),
                settings.memory(),
                new WeightModePolicy.AlwaysUnmerged(),
                new PreemptionPolicy.LatestArrival(),
                new EvictionPolicy.LeastRecentlyUsed());
    }

    public SchedulerPolicies withWeightMode(WeightModePolicy other) {
        return new SchedulerPolicies(fairness, cluster, earlyAbort, memory, other, preemption, eviction);
    }

    public SchedulerPolicies withEarlyAbort(EarlyAbortPolicy other) {
        return new SchedulerPolicies(fairness, cluster, other, memory, weightMode, preemption, eviction);
    }

    public SchedulerPolicies withMemory(MemoryRule other) {
        return new SchedulerPolicies(fairness, cluster, earlyAbort, other, weightMode, preemption, eviction);
    }
}
