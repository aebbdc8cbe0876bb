package io.chorale.sim;

import io.chorale.core.policy.MemoryRule;
import io.chorale.core.policy.PolicySettings;
import io.chorale.core.policy.PolicySettings.Abort;
import io.chorale.core.policy.PolicySettings.Batching;
import io.chorale.core.policy.PolicySettings.Clustering;
import io.chorale.core.policy.PolicySettings.Estimate;
import io.chorale.core.policy.PolicySettings.Eviction;
import io.chorale.core.policy.PolicySettings.Locality;
import io.chorale.core.policy.PolicySettings.MergeRule;
import io.chorale.core.policy.PolicySettings.Merging;
import io.chorale.core.policy.PolicySettings.Order;
import io.chorale.core.policy.PolicySettings.Preemption;
import io.chorale.core.policy.PolicySettings.Prices;
import io.chorale.core.policy.PolicySettings.Within;
import java.util.SplittableRandom;

/** Settings drawn at random: every combination is valid. */
final class AnyPolicies {
    private AnyPolicies() {}

    static PolicySettings draw(SplittableRandom random) {
        return new PolicySettings(
                one(Order.values(), random),
                one(Within.values(), random),
                new Prices(random.nextInt(3), 0.5 + random.nextInt(4), random.nextInt(20), random.nextInt(10)),
                new Clustering(one(Locality.values(), random), 1 + random.nextInt(4), random.nextInt(300)),
                1_000_000L * (1 + random.nextInt(20_000)),
                new Abort(one(Estimate.values(), random), 1_000_000L * random.nextInt(600)),
                one(MemoryRule.values(), random),
                new Batching(1 + random.nextInt(3) * random.nextInt(6), random.nextInt(4) == 0),
                new Merging(
                        one(MergeRule.values(), random),
                        random.nextBoolean(),
                        1_000_000L * (1 + random.nextInt(2_000)),
                        random.nextInt(3),
                        0.3 + 0.7 * random.nextDouble()),
                one(Preemption.values(), random),
                one(Eviction.values(), random),
                random.nextBoolean());
    }

    private static <T> T one(T[] values, SplittableRandom random) {
        return values[random.nextInt(values.length)];
    }
}
