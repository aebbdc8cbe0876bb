package io.chorale.sim;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.engine.sim.FaultPlan;
import io.chorale.engine.sim.SimulatedModel;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Sequences that merged steps hold back keep their pages and give up their places. */
class MergedPlacesTest {
    private static SimServer server(long period, int lookAhead) {
        return server(period, lookAhead, FaultPlan.NONE);
    }

    private static SimServer server(long period, int lookAhead, FaultPlan faults) {
        return new SimServer(new SimServer.Config(
                new PoolGeometry(200, 4, 2, 0),
                new SchedulerLimits(64, 50, 1, 16, 8, 2, 2, 2, 64, 0),
                SchedulerPolicies.PLAIN.withWeightMode(new MergePolicy(1, false, period)),
                new SimulatedModel(9, 50, 3, 0),
                faults,
                lookAhead,
                1,
                0));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void requestsOfTheMergedAdapterTakeThem(int lookAhead) {
        SimServer server = server(Long.MAX_VALUE, lookAhead);
        server.submit(Requests.of(0, 4, 40).at(0));
        server.submit(Requests.of(1, 4, 40).adapter(1).at(0));
        server.submit(Requests.of(2, 4, 40).adapter(1).at(0));
        while (server.answer(1).end == null) {
            server.turn();
        }
        assertNotNull(server.answer(2).started, "it has the place of the one that is held back");
        assertNull(server.answer(0).end);
        assertEquals(0, server.scheduler.snapshot().preemptions());
        server.runUntilIdle();
        assertEquals(40, server.answer(0).tokens.size());
    }

    /** When nothing is merged again there are more sequences than places: the first have them, and everybody ends. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void afterwardsThereAreNeverMoreInAStepThanMayBe(int lookAhead) {
        SimServer server = server(10, lookAhead);
        for (int id = 0; id < 12; id++) {
            Requests request = Requests.of(id, 4, 20);
            server.submit((id % 3 == 0 ? request : request.adapter(1)).at(0));
        }
        int most = 0;
        while (server.turn()) { // the validator of the server counts those in the step
            most = Math.max(most, server.scheduler.snapshot().runningSequences());
        }
        assertTrue(most > 2, "some were held back with their pages");
        for (int id = 0; id < 12; id++) {
            assertEquals(20, server.answer(id).tokens.size());
        }
    }

    /** Its step takes everybody in it along: once is enough. */
    @ParameterizedTest
    @EnumSource(names = {"REFUSED", "FAILED"})
    void anAdapterWhoseMergeHasFailedIsNotMergedAgain(FaultPlan.StepFault fault) {
        SimServer server = server(Long.MAX_VALUE, 0, new OneStepFails(1, fault));
        server.submit(Requests.of(0, 4, 9).adapter(1).at(0));
        server.runUntilIdle();
        assertEquals(1, server.scheduler.snapshot().stepsFailed());
        assertEquals(1, server.scheduler.snapshot().scheduling().merges());
        server.submit(Requests.of(1, 4, 9).adapter(1).at(server.clock.nanos()));
        server.runUntilIdle();
        assertEquals(9, server.answer(1).tokens.size());
        assertEquals(1, server.scheduler.snapshot().scheduling().merges());
    }

    /** Merged or not, and though nobody asks for anything else: nothing of it stays behind. */
    @ParameterizedTest
    @CsvSource({"0, true", "0, false", "1, true", "1, false"})
    void anAdapterThatTheHostForgetsLeavesTheWeightsAndTheDevice(int lookAhead, boolean removed) {
        SimServer server = server(Long.MAX_VALUE, lookAhead);
        server.submit(Requests.of(0, 4, 9).adapter(1).at(0));
        while (server.answer(0).tokens.isEmpty()) {
            server.turn();
        }
        assertFalse(forget(server, removed), "its request runs");
        server.runUntilIdle();
        assertEquals(1, server.scheduler.snapshot().scheduling().merges());
        assertEquals(9, server.answer(0).tokens.size());
        assertArrayEquals(new int[] {1}, server.scheduler.snapshot().residentAdapters());
        assertEquals(0, server.scheduler.snapshot().scheduling().adaptersRunning());
        assertTrue(forget(server, removed));
        server.runUntilIdle();
        assertEquals(0, server.scheduler.snapshot().residentAdapters().length);
        assertEquals(0, server.scheduler.snapshot().pagesAdapter());
    }

    /** Because nobody can ask for it any more, or because others want its room in host memory. */
    private static boolean forget(SimServer server, boolean removed) {
        return removed ? server.scheduler.adapterRetired(1) : server.scheduler.adapterGone(1);
    }
}
