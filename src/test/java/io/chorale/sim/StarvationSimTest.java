package io.chorale.sim;

import static org.junit.jupiter.api.Assertions.assertNotNull;

import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.policy.PolicySettings;
import io.chorale.core.policy.PolicySettings.Clustering;
import io.chorale.core.policy.PolicySettings.Locality;
import io.chorale.core.policy.PolicySettings.MergeRule;
import io.chorale.core.policy.PolicySettings.Merging;
import io.chorale.core.policy.PolicySettings.Order;
import io.chorale.core.policy.PolicySettings.Within;
import io.chorale.core.policy.StepCostModel;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.engine.sim.FaultPlan;
import io.chorale.engine.sim.SimulatedModel;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A server that is never empty: whoever wants what nobody else wants gets it all the same, under every combination. */
class StarvationSimTest {
    private static final int POPULAR = 2;
    private static final int RARE = 5;
    private static final int QUEUED = 20;
    private static final int TURNS = 3_000;
    private static final long PATIENCE_NANOS = 300_000_000;

    @ParameterizedTest
    @EnumSource(Order.class)
    void nobodyWaitsForEver(Order order) {
        for (Locality locality : Locality.values()) {
            for (MergeRule rule : MergeRule.values()) {
                for (int mixture = 0; mixture < 2; mixture++) {
                    Merging merging = new Merging(rule, mixture == 1, PATIENCE_NANOS, 0, 0.6);
                    for (Within within : order == Order.FAIR ? Within.values() : new Within[] {Within.ARRIVAL}) {
                        flood(PolicySettings.CHORALE
                                .with(order)
                                .with(within)
                                .with(new Clustering(locality, 1, 200))
                                .withPatience(PATIENCE_NANOS)
                                .with(merging));
                    }
                }
            }
        }
    }

    /** Popular adapters always have requests waiting; one request for a rare one and one for the base model come early. */
    private static void flood(PolicySettings settings) {
        SimServer server = new SimServer(new SimServer.Config(
                new PoolGeometry(60, 4, 3, 0),
                new SchedulerLimits(64, 50, 1, 16, 8, 4, 4, 2, 8, 1),
                SchedulerPolicies.of(
                        settings, new StepCostModel.Linear(1_000_000, 100_000, 0, 200_000, 0, 300_000, 0, 2_000_000)),
                new SimulatedModel(9, 50, 3, 0),
                FaultPlan.NONE,
                1,
                2,
                0));
        long next = 2;
        long popularOpen = 0;
        for (int turn = 0; turn < TURNS; turn++) {
            if (turn == 10) {
                server.submit(Requests.of(0, 4, 6).adapter(RARE).at(server.clock.nanos()));
                server.submit(Requests.of(1, 4, 6).at(server.clock.nanos()));
            }
            popularOpen = next - 2 - finished(server, next);
            for (; popularOpen < QUEUED; popularOpen++, next++) {
                server.submit(Requests.of(next, 4, 12)
                        .adapter(1 + (int) (next % POPULAR))
                        .at(server.clock.nanos()));
            }
            server.turn();
            boolean done = turn > 10 && server.answer(0).end != null && server.answer(1).end != null;
            if (done) {
                return;
            }
        }
        assertNotNull(server.answer(0).end, () -> "the rare adapter starves: " + settings);
        assertNotNull(server.answer(1).end, () -> "the base model starves: " + settings);
    }

    private static long finished(SimServer server, long next) {
        long finished = 0;
        for (long id = 2; id < next; id++) {
            finished += server.answer(id).end != null ? 1 : 0;
        }
        return finished;
    }
}
