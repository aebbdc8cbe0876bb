package io.chorale.sim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.policy.PolicySettings;
import io.chorale.core.policy.PolicySettings.Clustering;
import io.chorale.core.policy.PolicySettings.Locality;
import io.chorale.core.policy.StepCostModel;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.engine.sim.FaultPlan;
import io.chorale.engine.sim.SimulatedModel;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A batch of one adapter at a time, as S-LoRA's {@code peft_req_queue.py} forms it. */
class OneAtATimeTest {
    private static final int OTHERS_MAX = 30;

    private static SimServer server(int lookAhead) {
        PolicySettings settings = PolicySettings.FCFS.with(new Clustering(Locality.ONE_AT_A_TIME, 8, 0));
        return new SimServer(new SimServer.Config(
                new PoolGeometry(2_000, 4, 3, 0),
                new SchedulerLimits(64, 50, 1, 128, 8, 64, 64, 3, 1 << 20, 0),
                SchedulerPolicies.of(settings, StepCostModel.Linear.FREE),
                new SimulatedModel(9, 50, 3, 0),
                FaultPlan.NONE,
                lookAhead,
                1,
                0));
    }

    private static void turnUntilItEnds(SimServer server, int id) {
        while (server.answer(id).end == null) {
            server.turn();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void othersWaitUntilTheBatchHasEnded(int lookAhead) {
        SimServer server = server(lookAhead);
        server.submit(Requests.of(0, 4, 30).adapter(0).at(0));
        server.turn();
        server.submit(Requests.of(1, 4, 5).adapter(1).at(0));
        server.submit(Requests.of(2, 4, 40).adapter(0).at(0));
        turnUntilItEnds(server, 0);
        assertNotNull(server.answer(2).started, "its adapter is in the batch");
        assertNull(server.answer(1).started);
        turnUntilItEnds(server, 2);
        assertNull(server.answer(1).started, "nobody joins before the last of them has ended");
        server.runUntilIdle();
        assertEquals(5, server.answer(1).tokens.size());
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void itEndsWhenTooManyOthersStandBeforeItsNext(int others) {
        SimServer server = server(1);
        server.submit(Requests.of(0, 4, 30).adapter(0).at(0));
        server.turn();
        int waiting = OTHERS_MAX + others;
        for (int i = 1; i <= waiting; i++) {
            server.submit(Requests.of(i, 4, 5).adapter(1 + i % 2).at(0));
        }
        int last = waiting + 1;
        server.submit(Requests.of(last, 4, 5).adapter(0).at(0));
        turnUntilItEnds(server, 0);
        if (others == 0) {
            assertNotNull(server.answer(last).started, OTHERS_MAX + " others do not matter");
        } else {
            assertNull(server.answer(last).started, "one more does");
        }
        server.runUntilIdle();
        assertEquals(5, server.answer(last).tokens.size());
    }
}
