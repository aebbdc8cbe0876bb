package io.chorale.core.sched;

import io.chorale.core.policy.AdapterClusterPolicy;
import io.chorale.core.policy.EarlyAbortPolicy;
import io.chorale.core.policy.EvictionPolicy;
import io.chorale.core.policy.FairnessPolicy;
import io.chorale.core.policy.PreemptionPolicy;
import io.chorale.core.policy.WeightModePolicy;

/** The six decisions that the scheduler delegates. */
public record SchedulerPolicies(
        FairnessPolicy fairness,
        AdapterClusterPolicy cluster,
        EarlyAbortPolicy earlyAbort,
        WeightModePolicy weightMode,
        PreemptionPolicy preemption,
        EvictionPolicy eviction) {

    /** The plain choice everywhere: arrival order, no clustering, no aborts, unmerged, latest yields, LRU. */
    public static final SchedulerPolicies PLAIN = new SchedulerPolicies(
            new FairnessPolicy.ArrivalOrder(),
            new AdapterClusterPolicy.Unrestricted(),
            new EarlyAbortPolicy.Never(),
            new WeightModePolicy.AlwaysUnmerged(),
            new PreemptionPolicy.LatestArrival(),
            new EvictionPolicy.LeastRecentlyUsed());

    public SchedulerPolicies withWeightMode(WeightModePolicy other) {
        return new SchedulerPolicies(fairness, cluster, earlyAbort, other, preemption, eviction);
    }

    public SchedulerPolicies withEarlyAbort(EarlyAbortPolicy other) {
        return new SchedulerPolicies(fairness, cluster, other, weightMode, preemption, eviction);
    }
}
