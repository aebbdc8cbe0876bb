package io.chorale.core.sched;

import io.chorale.core.policy.AdapterClusterPolicy;
import io.chorale.core.policy.AdaptiveOrder;
import io.chorale.core.policy.CostRule;
import io.chorale.core.policy.EarlyAbortPolicy;
import io.chorale.core.policy.EvictionPolicy;
import io.chorale.core.policy.HeldBackLimit;
import io.chorale.core.policy.MemoryRule;
import io.chorale.core.policy.OrderPolicy;
import io.chorale.core.policy.PolicySettings;
import io.chorale.core.policy.PolicySettings.Batching;
import io.chorale.core.policy.PolicySettings.Merging;
import io.chorale.core.policy.PolicySettings.Prices;
import io.chorale.core.policy.PreemptionPolicy;
import io.chorale.core.policy.StepCostModel;
import io.chorale.core.policy.ThresholdRule;
import io.chorale.core.policy.WeightModePolicy;
import java.util.function.IntToDoubleFunction;

/**
 * The decisions that the scheduler delegates. Some of them remember: they belong to one scheduler.
 *
 * @param weights of a tenant, by its index: with twice the weight it is served twice as much
 * @param quantum service by which a flow that passes others may be ahead of them
 * @param patienceNanos how long a flow may be passed before it is taken out of turn
 * @param costs what a step takes, for forecasts
 */
public record SchedulerPolicies(
        OrderPolicy order,
        Prices prices,
        IntToDoubleFunction weights,
        AdapterClusterPolicy cluster,
        double quantum,
        long patienceNanos,
        EarlyAbortPolicy earlyAbort,
        MemoryRule memory,
        Batching batching,
        WeightModePolicy weightMode,
        PreemptionPolicy preemption,
        EvictionPolicy eviction,
        boolean prefetch,
        StepCostModel costs) {

    /** The plain choice everywhere: arrival order, no clustering, no aborts, unmerged, latest yields, LRU. */
    public static final SchedulerPolicies PLAIN = of(PolicySettings.FCFS, StepCostModel.Linear.FREE);

    /** The policies that settings name; all tenants have the same weight. */
    public static SchedulerPolicies of(PolicySettings settings, StepCostModel costs) {
        return new SchedulerPolicies(
                order(settings),
                settings.prices(),
                tenant -> 1,
                cluster(settings),
                settings.clustering().quantum(),
                settings.patienceNanos(),
                earlyAbort(settings.abort()),
                settings.memory(),
                settings.batching(),
                weightMode(settings.merging(), costs),
                preemption(settings),
                eviction(settings),
                settings.prefetch(),
                costs);
    }

    private static OrderPolicy order(PolicySettings settings) {
        return switch (settings.order()) {
            case ARRIVAL -> new OrderPolicy.Arrival();
            case NEWEST -> new OrderPolicy.Newest();
            case ADAPTIVE -> new AdaptiveOrder();
            case FAIR -> fair(settings);
            case CREDITS -> new OrderPolicy.Credits(settings.merging().patienceNanos());
        };
    }

    /** Newest first serves more in time because those at the end of the line are given up: where nobody is, all only wait longer. */
    private static OrderPolicy fair(PolicySettings settings) {
        boolean inTurn = settings.within() == PolicySettings.Within.ADAPTIVE
                && settings.abort().estimate() == PolicySettings.Estimate.NEVER;
        return new OrderPolicy.LeastService(inTurn ? PolicySettings.Within.ARRIVAL : settings.within());
    }

    private static AdapterClusterPolicy cluster(PolicySettings settings) {
        return switch (settings.clustering().locality()) {
            case NONE -> new AdapterClusterPolicy.None();
            case SOFT_LIMIT ->
                new AdapterClusterPolicy.SoftLimit(settings.clustering().adapters());
            case ONE_AT_A_TIME -> new AdapterClusterPolicy.OneAtATime();
            case DEFICIT -> new AdapterClusterPolicy.WithinQuantum();
        };
    }

    private static EarlyAbortPolicy earlyAbort(PolicySettings.Abort abort) {
        return switch (abort.estimate()) {
            case NEVER -> new EarlyAbortPolicy.Never();
            case CONSTANT -> new EarlyAbortPolicy.ConstantEstimate(abort.prefillNanos());
            case MEASURED -> new EarlyAbortPolicy.MeasuredEstimate();
        };
    }

    private static WeightModePolicy weightMode(Merging merging, StepCostModel costs) {
        return switch (merging.rule()) {
            case ALWAYS_UNMERGED -> new WeightModePolicy.AlwaysUnmerged();
            case ALWAYS_MERGED ->
                new HeldBackLimit(new WeightModePolicy.AlwaysMerged(merging.mixture()), merging.patienceNanos());
            case COST ->
                new HeldBackLimit(
                        new CostRule(costs, merging.mixture(), merging.shadowPages()), merging.patienceNanos());
            case THRESHOLDS ->
                new HeldBackLimit(new ThresholdRule(costs, merging.speedRatio()), merging.patienceNanos());
        };
    }

    private static PreemptionPolicy preemption(PolicySettings settings) {
        return switch (settings.preemption()) {
            case LATEST -> new PreemptionPolicy.LatestArrival();
            case CHEAPEST -> new PreemptionPolicy.CheapestRecompute();
        };
    }

    private static EvictionPolicy eviction(PolicySettings settings) {
        return switch (settings.eviction()) {
            case LRU -> new EvictionPolicy.LeastRecentlyUsed();
            case SCORE -> new EvictionPolicy.Score();
            case FEWEST_WAITING -> new EvictionPolicy.FewestWanted();
            case AT_ONCE -> new EvictionPolicy.AtOnce();
        };
    }

    public SchedulerPolicies withWeights(IntToDoubleFunction other) {
        return new SchedulerPolicies(
                order,
                prices,
                other,
                cluster,
                quantum,
                patienceNanos,
                earlyAbort,
                memory,
                batching,
                weightMode,
                preemption,
                eviction,
                prefetch,
                costs);
    }

    public SchedulerPolicies withWeightMode(WeightModePolicy other) {
        return new SchedulerPolicies(
                order,
                prices,
                weights,
                cluster,
                quantum,
                patienceNanos,
                earlyAbort,
                memory,
                batching,
                other,
                preemption,
                eviction,
                prefetch,
                costs);
    }
}
