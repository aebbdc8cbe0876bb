package io.chorale.sim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.DropReason;
import io.chorale.core.model.FinishReason;
import io.chorale.core.model.LoadSnapshot;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.policy.MemoryRule;
import io.chorale.core.policy.PolicySettings;
import io.chorale.core.policy.StepCostModel;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.engine.sim.FaultPlan;
import io.chorale.engine.sim.SimulatedModel;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * One situation each, with both look-aheads. That every token is right, that pages are conserved and that nobody ends
 * twice is checked by {@link SimServer} in all of them.
 */
class SchedulerTest {
    private static final int VOCAB = 50;
    private static final int STOP = 3;
    /** Draws the stop token wherever it is allowed. */
    private static final SimulatedModel ALWAYS_STOPS = new SimulatedModel(9, VOCAB, STOP, 1);

    private static final SimulatedModel NEVER_STOPS = new SimulatedModel(9, VOCAB, STOP, 0);

    private static SchedulerLimits limits(int sequencesMax, int adaptersMax, int bypassMax) {
        return new SchedulerLimits(64, VOCAB, 1, 16, 8, sequencesMax, sequencesMax, adaptersMax, bypassMax, 0);
    }

    private static SimServer server(int pages, int slots, SchedulerLimits limits, SimulatedModel model, int lookAhead) {
        return new SimServer(config(pages, slots, limits, model, lookAhead));
    }

    private static SimServer.Config config(
            int pages, int slots, SchedulerLimits limits, SimulatedModel model, int lookAhead) {
        return new SimServer.Config(
                new PoolGeometry(pages, 4, slots, 1),
                limits,
                SchedulerPolicies.PLAIN,
                model,
                FaultPlan.NONE,
                lookAhead,
                2,
                0);
    }

    private static FinishReason reason(SimServer server, long id) {
        return assertInstanceOf(SequenceEvent.Finished.class, server.answer(id).end)
                .reason();
    }

    private static DropReason dropped(SimServer server, long id) {
        return assertInstanceOf(SequenceEvent.Dropped.class, server.answer(id).end)
                .reason();
    }

    private static String detail(SimServer server, long id) {
        return assertInstanceOf(SequenceEvent.Dropped.class, server.answer(id).end)
                .detail();
    }

    private static SchedulerPolicies policies(MemoryRule rule) {
        return SchedulerPolicies.of(PolicySettings.FCFS.with(rule), StepCostModel.Linear.FREE);
    }

    private static void turns(SimServer server, int count) {
        for (int i = 0; i < count; i++) {
            server.turn();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void aPreemptedSequenceContinuesTheSameAnswer(int lookAhead) {
        SimServer server = server(12, 0, limits(4, 0, 4), NEVER_STOPS, lookAhead);
        for (int id = 0; id < 4; id++) {
            server.submit(Requests.of(id, 6, 20).at(0));
        }
        server.runUntilIdle();
        assertTrue(server.scheduler.snapshot().preemptions() > 0);
        for (int id = 0; id < 4; id++) {
            assertEquals(20, server.answer(id).tokens.size());
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void penaltiesSurviveAPreemptionBecauseCountsAreResetAndRebuilt(int lookAhead) {
        SimServer server = server(12, 0, limits(4, 0, 4), NEVER_STOPS, lookAhead);
        for (int id = 0; id < 3; id++) {
            server.submit(Requests.of(id, 6, 20).at(0));
        }
        server.submit(Requests.of(3, 6, 20).penalties().at(0));
        server.runUntilIdle();
        assertTrue(server.scheduler.snapshot().preemptions() > 0);
        assertEquals(20, server.answer(3).tokens.size());
    }

    @Test
    void scratchSlotsAreWaitedForAndOtherFlowsPassBy() {
        SimServer server = server(40, 1, limits(4, 1, 4), NEVER_STOPS, 0);
        server.stage(1);
        server.submit(Requests.of(0, 4, 10).penalties().at(0));
        server.submit(Requests.of(1, 4, 10).penalties().at(0));
        server.submit(Requests.of(2, 4, 10).adapter(1).at(0));
        server.turn();
        assertNull(server.answer(1).started);
        assertNotNull(server.answer(2).started);
        server.runUntilIdle();
        assertEquals(10, server.answer(1).tokens.size());
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void aCancelledRequestFreesItsPagesWithinTwoSteps(int lookAhead) {
        SimServer server = server(40, 0, limits(4, 0, 4), NEVER_STOPS, lookAhead);
        server.submit(Requests.of(0, 20, 30).at(0));
        server.submit(Requests.of(1, 4, 30).at(0));
        turns(server, 5);
        int others = 3;
        assertTrue(server.scheduler.snapshot().pagesKv() > others);
        server.scheduler.cancel(0);
        turns(server, 2);
        LoadSnapshot after = server.scheduler.snapshot();
        assertEquals(0, after.pagesQuarantined());
        assertTrue(after.pagesKv() <= others, after::toString);
        assertEquals(DropReason.CANCELLED, dropped(server, 0));
        server.scheduler.cancel(0);
        server.scheduler.cancel(4711);
        server.runUntilIdle();
        assertEquals(FinishReason.LENGTH, reason(server, 1));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void stopTokensEndAnAnswerButNotBeforeItsLeastLength(int lookAhead) {
        SimServer server = server(40, 0, limits(4, 0, 4), ALWAYS_STOPS, lookAhead);
        server.submit(Requests.of(0, 4, 10).stops(0, STOP).at(0));
        server.submit(Requests.of(1, 4, 10).stops(6, STOP).at(0));
        server.submit(Requests.of(2, 4, 10).stops(10, STOP).at(0));
        server.runUntilIdle();
        assertEquals(FinishReason.STOP, reason(server, 0));
        assertEquals(0, server.answer(0).tokens.size());
        assertEquals(FinishReason.STOP, reason(server, 1));
        assertEquals(6, server.answer(1).tokens.size());
        assertEquals(FinishReason.LENGTH, reason(server, 2));
    }

    @Test
    void anAnswerEndsWhereTheContextEnds() {
        SimServer server = server(40, 0, limits(4, 0, 4), NEVER_STOPS, 1);
        server.submit(Requests.of(0, 60, 1000).at(0));
        server.submit(Requests.of(1, 64, 1).at(0));
        server.runUntilIdle();
        assertEquals(4, server.answer(0).tokens.size());
        assertEquals(DropReason.REFUSED, dropped(server, 1));
        assertTrue(detail(server, 1).contains("64 tokens, the context holds 64"), detail(server, 1));
    }

    @Test
    void biasAndTopLogProbsTravelWithTheSample() {
        SimServer server = server(40, 0, limits(4, 0, 4), ALWAYS_STOPS, 1);
        server.submit(Requests.of(0, 4, 3).topLogProbs(5).at(0));
        server.submit(Requests.of(1, 4, 9).stops(0, STOP).at(0));
        server.runUntilIdle();
        assertEquals(3, server.answer(0).tokens.size());
        assertEquals(FinishReason.STOP, reason(server, 1));
    }

    @Test
    void whatCanNeverBeServedIsRefusedAtOnce() {
        SimServer server = server(5, 2, limits(2, 2, 4), NEVER_STOPS, 0);
        server.submit(Requests.of(0, 8, 14).at(0)); // 21 tokens of KV: 6 pages
        assertEquals(DropReason.REFUSED, dropped(server, 0));
        assertTrue(detail(server, 0).contains("6 pages"), detail(server, 0));
        server.submit(Requests.of(1, 8, 13).at(0)); // 20 tokens: 5 pages
        server.submit(Requests.of(2, 8, 13).adapter(1).at(0)); // and 2 for the adapter, known when it is staged
        server.submit(Requests.of(3, 8, 4).bias(VOCAB, 1).at(0));
        assertTrue(detail(server, 3).contains("token " + VOCAB), detail(server, 3));
        AdapterSet three = new AdapterSet(new int[] {1, 2, 3}, new float[] {1, 1, 1});
        server.submit(Requests.of(4, 8, 4).adapters(three).at(0));
        assertEquals(DropReason.REFUSED, dropped(server, 4));
        server.runUntilIdle();
        assertEquals(FinishReason.LENGTH, reason(server, 1));
        assertEquals(DropReason.REFUSED, dropped(server, 2));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void idleAdaptersAreEvictedWhenTheirPagesOrSlotsAreNeeded(int lookAhead) {
        SimServer server = server(8, 2, limits(2, 2, 4), NEVER_STOPS, lookAhead);
        for (int version = 1; version <= 5; version++) {
            server.submit(Requests.of(version, 4, 4).adapter(version).at(0));
            server.runUntilIdle();
        }
        LoadSnapshot snapshot = server.scheduler.snapshot();
        assertEquals(5, snapshot.adapterLoads());
        assertTrue(snapshot.evictions() >= 3 && snapshot.residentAdapters().length > 0, snapshot::toString);
        server.submit(Requests.of(6, 12, 16).at(0)); // 27 tokens: 7 of the 8 pages
        server.runUntilIdle();
        assertEquals(FinishReason.LENGTH, reason(server, 6));
    }

    @Test
    void anAdapterStaysResidentAfterUse() {
        SimServer server = server(20, 4, limits(2, 2, 4), NEVER_STOPS, 0);
        for (int id = 0; id < 5; id++) {
            server.submit(Requests.of(id, 4, 4).adapter(1).at(0));
            server.runUntilIdle();
        }
        assertEquals(1, server.scheduler.snapshot().adapterLoads());
    }

    @Test
    void aBlockedHeadIsPassedButNotForEver() {
        SimServer server = server(60, 4, limits(2, 1, 3), NEVER_STOPS, 0);
        server.submit(Requests.of(0, 4, 30).adapter(1).at(0));
        server.turn();
        server.submit(Requests.of(1, 4, 4).adapter(2).at(0)); // one adapter a step: blocked by request 0
        for (int id = 2; id < 9; id++) {
            server.submit(Requests.of(id, 4, 2).adapter(1).at(0));
        }
        while (server.answer(0).end == null) {
            server.turn();
        }
        assertNotNull(server.answer(4).end, "three may pass");
        assertNull(server.answer(5).started, "the fourth may not");
        server.runUntilIdle();
        long second = server.answer(1).started.queuedNanos();
        assertTrue(second < server.answer(5).started.queuedNanos());
        assertEquals(FinishReason.LENGTH, reason(server, 8));
    }

    @Test
    void requestsWaitForTheirAdapterAndOthersPassThem() {
        SimServer server = server(40, 4, limits(2, 2, 0), NEVER_STOPS, 0);
        server.scheduler.submit(Requests.of(0, 4, 4).adapter(7).at(0), 0);
        server.answers.put(0L, new Answer(Requests.of(0, 4, 4).adapter(7).at(0), NEVER_STOPS, 64));
        server.submit(Requests.of(1, 4, 4).at(0));
        server.runUntilAnswered(1);
        assertNull(server.answer(0).started);
        server.stage(7);
        server.runUntilIdle();
        assertEquals(FinishReason.LENGTH, reason(server, 0));
    }

    @Test
    void aFailedAdapterDropsThoseWhoWaitForIt() {
        FaultPlan stagingFails = new FaultPlan.Seeded(1, 0, 0, 0, 0, Long.MAX_VALUE, 1);
        SimServer server =
                new SimServer(config(40, 4, limits(2, 2, 4), NEVER_STOPS, 0).withFaults(stagingFails));
        server.submit(Requests.of(0, 4, 4).adapter(7).at(0));
        server.submit(Requests.of(1, 4, 4)
                .adapters(new AdapterSet(new int[] {7, 8}, new float[] {1, 1}))
                .at(0));
        server.runUntilIdle();
        assertEquals(DropReason.ADAPTER_FAILED, dropped(server, 0));
        assertEquals("adapter adapter-7 does not fit the base model", detail(server, 0));
        assertEquals(DropReason.ADAPTER_FAILED, dropped(server, 1));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void theHostMayForgetAnAdapterOnlyWhenNobodyUsesIt(int lookAhead) {
        SimServer server = server(40, 4, limits(2, 2, 4), NEVER_STOPS, lookAhead);
        server.submit(Requests.of(0, 4, 9).adapter(1).at(0));
        turns(server, 3);
        assertFalse(server.scheduler.adapterGone(1));
        server.runUntilIdle();
        assertTrue(server.scheduler.adapterGone(1));
        assertEquals(1, server.scheduler.snapshot().residentAdapters().length);
        server.runUntilIdle();
        assertEquals(0, server.scheduler.snapshot().residentAdapters().length, "what is left on the device goes");
        assertTrue(server.scheduler.adapterGone(4711));
    }

    @Test
    void aFailedStepDropsExactlyItsRequests() {
        for (FaultPlan.StepFault fault :
                new FaultPlan.StepFault[] {FaultPlan.StepFault.REFUSED, FaultPlan.StepFault.FAILED}) {
            SimServer server = new SimServer(
                    config(40, 4, limits(2, 2, 4), NEVER_STOPS, 0).withFaults(new OneStepFails(3, fault)));
            server.submit(Requests.of(0, 4, 2).adapter(1).at(0)); // over before step 3
            server.submit(Requests.of(1, 4, 9).adapter(2).at(0)); // in it
            server.submit(Requests.of(2, 4, 9).adapter(3).at(0)); // joins and is uploaded in it or before
            server.submit(Requests.of(3, 4, 9).adapter(2).at(0)); // waits for a place
            server.runUntilIdle();
            assertEquals(FinishReason.LENGTH, reason(server, 0));
            assertEquals(DropReason.STEP_FAILED, dropped(server, 1));
            assertEquals(DropReason.STEP_FAILED, dropped(server, 2));
            assertTrue(detail(server, 1).contains("injected fault"), detail(server, 1));
            assertEquals(FinishReason.LENGTH, reason(server, 3));
            assertEquals(1, server.scheduler.snapshot().stepsFailed());
        }
    }

    @Test
    void withLookAheadAFaultTakesTheNextStepAlongButNoFurther() {
        for (FaultPlan.StepFault fault :
                new FaultPlan.StepFault[] {FaultPlan.StepFault.REFUSED, FaultPlan.StepFault.FAILED}) {
            SimServer server = new SimServer(
                    config(60, 4, limits(8, 2, 4), NEVER_STOPS, 1).withFaults(new OneStepFails(3, fault)));
            for (int id = 0; id < 20; id++) {
                server.submit(Requests.of(id, 4, 9).adapter(1 + id % 2).at(0));
                server.turn();
            }
            server.runUntilIdle();
            assertEquals(2, server.scheduler.snapshot().stepsFailed());
            assertEquals(DropReason.STEP_FAILED, dropped(server, 0));
            for (int id = 8; id < 20; id++) {
                assertEquals(FinishReason.LENGTH, reason(server, id));
            }
        }
    }

    @Test
    void aDeadEngineEndsEverybody() {
        FaultPlan dies = new FaultPlan.Seeded(0, 0, 0, 0, 0, 4, 0);
        SimServer server =
                new SimServer(config(40, 4, limits(2, 2, 4), NEVER_STOPS, 1).withFaults(dies));
        for (int id = 0; id < 5; id++) {
            server.submit(Requests.of(id, 4, 9).at(0));
        }
        server.runUntilIdle();
        for (int id = 0; id < 5; id++) {
            assertEquals(DropReason.ENGINE_DEAD, dropped(server, id));
        }
        assertTrue(server.dead);
    }

    @Test
    void aHopelessRequestIsAbortedWhileItWaitsAndNotAfterItsStart() {
        SchedulerPolicies policies = SchedulerPolicies.of(
                PolicySettings.FCFS.with(new PolicySettings.Abort(PolicySettings.Estimate.MEASURED, 0)),
                StepCostModel.Linear.LARGE_GPU);
        SimServer server =
                new SimServer(config(40, 0, limits(1, 0, 4), NEVER_STOPS, 0).withPolicies(policies));
        server.submit(Requests.of(0, 4, 40).ttft(50_000_000).at(0));
        server.submit(Requests.of(1, 4, 40).ttft(50_000_000).at(0));
        server.submit(Requests.of(2, 4, 4).at(0));
        server.runUntilIdle();
        assertEquals(FinishReason.LENGTH, reason(server, 0));
        assertEquals(DropReason.SLO_UNREACHABLE, dropped(server, 1));
        assertEquals(FinishReason.LENGTH, reason(server, 2));
        assertEquals(1, server.scheduler.snapshot().earlyAborts());
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void mergedAnswersAreTheSame(int lookAhead) {
        for (boolean mixture : new boolean[] {false, true}) {
            SchedulerPolicies policies =
                    SchedulerPolicies.PLAIN.withWeightMode(new MergePolicy(1, mixture, Long.MAX_VALUE));
            SimServer server = new SimServer(config(60, 4, limits(4, 4, 4), NEVER_STOPS, lookAhead)
                            .withPolicies(policies))
                    .withTrace();
            AdapterSet half = new AdapterSet(new int[] {1, 2}, new float[] {0.5f, 1});
            server.submit(Requests.of(0, 4, 20).adapter(1).at(0));
            server.submit(Requests.of(1, 4, 20).adapter(2).at(0));
            server.submit(Requests.of(2, 4, 20).at(0));
            server.submit(Requests.of(3, 4, 20).adapters(half).at(0));
            server.runUntilIdle();
            for (int id = 0; id < 4; id++) {
                assertEquals(FinishReason.LENGTH, reason(server, id));
            }
            String trace = String.join("\n", server.trace);
            assertTrue(trace.contains("merge slot"), trace);
            assertTrue(trace.contains("merged slot"), trace);
            assertEquals(mixture, trace.contains("*-1.0"), trace);
            assertEquals(mixture, trace.contains("*-0.5"), trace);
        }
    }

    /** Found by the swarm: the merged sequence was the only one that could go on, and gave its pages back. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void thoseWhoSatOutAMergedStepGoOnWhenTheMergedSequenceIsPreempted(int lookAhead) {
        SimServer server = new SimServer(config(10, 2, limits(4, 2, 4), NEVER_STOPS, lookAhead)
                .withPolicies(SchedulerPolicies.PLAIN.withWeightMode(new MergePolicy(1, false, Long.MAX_VALUE))));
        server.submit(Requests.of(0, 12, 16).at(0));
        server.submit(Requests.of(1, 8, 20).adapter(1).at(0));
        server.runUntilIdle();
        assertTrue(server.scheduler.snapshot().preemptions() > 0);
        assertEquals(FinishReason.LENGTH, reason(server, 0));
        assertEquals(FinishReason.LENGTH, reason(server, 1));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void aMergedAdapterThatNobodyUsesStandsInNobodysWay(int lookAhead) {
        for (MemoryRule rule : MemoryRule.values()) {
            SchedulerLimits limits = new SchedulerLimits(64, VOCAB, 1, 16, 8, 4, 4, 1, 4, 0);
            SchedulerPolicies policies = policies(rule).withWeightMode(new MergePolicy(1, true, Long.MAX_VALUE));
            SimServer server =
                    new SimServer(config(8, 2, limits, NEVER_STOPS, lookAhead).withPolicies(policies));
            server.submit(Requests.of(0, 4, 6).adapter(1).at(0));
            server.runUntilIdle();
            server.submit(Requests.of(1, 8, 22).at(0)); // 29 tokens: all 8 pages
            server.submit(Requests.of(2, 4, 4).adapter(2).at(0)); // one adapter a step
            server.runUntilIdle();
            assertEquals(FinishReason.LENGTH, reason(server, 1));
            assertEquals(FinishReason.LENGTH, reason(server, 2));
        }
    }

    @Test
    void roomForASetIsNotMadeAtTheCostOfItsOwnAdapters() {
        SimServer server = server(7, 3, limits(4, 2, 4), NEVER_STOPS, 0);
        server.submit(Requests.of(0, 4, 4).adapter(2).at(0)); // 1 page, used first
        server.runUntilIdle();
        server.submit(Requests.of(1, 4, 4).adapter(3).at(0)); // 2 pages
        server.runUntilIdle();
        AdapterSet both = new AdapterSet(new int[] {2, 5}, new float[] {1, 1}); // 5: 2 pages
        server.submit(Requests.of(2, 10, 4).adapters(both).at(0));
        server.runUntilIdle();
        assertEquals(FinishReason.LENGTH, reason(server, 2));
        assertEquals(3, server.scheduler.snapshot().adapterLoads());
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void peakDemandNeverPreemptsAndOptimismDoes(int lookAhead) {
        for (MemoryRule rule : MemoryRule.values()) {
            SchedulerLimits limits = new SchedulerLimits(64, VOCAB, 1, 64, 64, 8, 8, 0, 4, 0);
            SimServer server =
                    new SimServer(config(24, 0, limits, NEVER_STOPS, lookAhead).withPolicies(policies(rule)));
            for (int id = 0; id < 40; id++) {
                server.submit(Requests.of(id, 1 + id % 7, 10 + id % 13).at(0));
            }
            server.runUntilIdle();
            assertEquals(
                    rule == MemoryRule.OPTIMISTIC, server.scheduler.snapshot().preemptions() > 0);
        }
    }

    @Test
    void drainingDropsThoseThatAreLeftAndLateCommitsDoNoHarm() {
        SimServer server = server(40, 0, limits(4, 0, 4), NEVER_STOPS, 1);
        for (int id = 0; id < 6; id++) {
            server.submit(Requests.of(id, 4, 30).at(0));
        }
        turns(server, 5);
        server.scheduler.failAll(DropReason.DRAINING, "the server is shutting down");
        server.runUntilIdle();
        for (int id = 0; id < 6; id++) {
            assertEquals(DropReason.DRAINING, dropped(server, id));
        }
        assertEquals(40, server.scheduler.snapshot().pagesFree());
    }
}
