package io.chorale.serving;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.model.DropReason;
import io.chorale.core.model.FinishReason;
import io.chorale.core.model.Rejection;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SequenceEvent;
import io.chorale.engine.AdapterWeights;
import io.chorale.engine.EngineFault;
import io.chorale.engine.StagedAdapter;
import io.chorale.engine.sim.FaultPlan;
import io.chorale.sim.OneStepFails;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ServingLoopTest {
    @Test
    void shouldGiveTheSameTokensWithBothLoops() {
        List<List<Integer>> answers = new ArrayList<>();
        for (boolean overlapped : new boolean[] {false, true}) {
            LoopUnderTest test = new LoopUnderTest(overlapped, FaultPlan.NONE);
            RequestSpec spec = test.spec(20);
            test.submit(spec);
            test.submit(test.spec(5));
            test.workUntilIdle();
            SequenceEvent.Finished end = assertInstanceOf(SequenceEvent.Finished.class, test.end(spec.id()));
            assertEquals(FinishReason.LENGTH, end.reason());
            assertEquals(20, end.usage().completionTokens());
            assertInstanceOf(SequenceEvent.Started.class, test.events(spec.id()).getFirst());
            answers.add(test.tokens(spec.id()));
        }
        assertEquals(20, answers.getFirst().size());
        assertEquals(answers.getFirst(), answers.getLast());
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void shouldFreeThePagesOfACancelWithinTwoSteps(boolean overlapped) {
        LoopUnderTest test = new LoopUnderTest(overlapped, FaultPlan.NONE);
        RequestTicket ticket = test.submit(test.spec(100));
        test.work(10);
        assertTrue(test.door.snapshot().pagesKv() > 0);
        ticket.cancel();
        test.work(2);
        assertEquals(LoopUnderTest.PAGES, test.door.snapshot().pagesFree());
        assertDropped(DropReason.CANCELLED, test.end(ticket.id()));
        assertEquals(0, test.door.placesTaken());
        assertEquals(0, test.loop.doWork());
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void shouldEndARequestThatIsCancelledBeforeItIsSeen(boolean overlapped) {
        LoopUnderTest test = new LoopUnderTest(overlapped, FaultPlan.NONE);
        RequestTicket ticket = test.submit(test.spec(100));
        ticket.cancel();
        test.work(1);
        assertDropped(DropReason.CANCELLED, test.end(ticket.id()));
        assertFalse(test.loop.hasRequests());
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void shouldDropAReaderThatIsTooSlowAndNobodyElse(boolean overlapped) {
        LoopUnderTest test = new LoopUnderTest(overlapped, FaultPlan.NONE);
        RequestSpec slow = test.spec(100);
        test.submit(slow);
        test.readersSleep = true;
        test.work(LoopUnderTest.TICKET_EVENTS + 4);
        assertFalse(test.loop.hasRequests(), "the slow reader's request must be dropped");
        assertEquals(0, test.door.placesTaken());
        test.readersSleep = false;
        RequestSpec quick = test.spec(30);
        test.submit(quick);
        test.workUntilIdle();
        assertEquals(30, test.tokens(quick.id()).size());
        assertEquals(LoopUnderTest.PAGES, test.door.snapshot().pagesFree());
    }

    @Test
    void shouldTellTheSlowReaderWhyWhenItComesBack() {
        LoopUnderTest test = new LoopUnderTest(true, FaultPlan.NONE);
        test.readersSleep = true;
        RequestTicket ticket = test.submit(test.spec(100));
        test.work(20);
        test.readersSleep = false;
        test.read(ticket);
        assertEquals(LoopUnderTest.TICKET_EVENTS + 1, test.events(ticket.id()).size());
        assertDropped(DropReason.SLOW_CONSUMER, test.end(ticket.id()));
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void shouldAnswerEverybodyWhenTheEngineDies(boolean overlapped) {
        LoopUnderTest test = new LoopUnderTest(overlapped, new FaultPlan.Seeded(0, 0, 0, 0, 0, 6, 0));
        RequestSpec running = test.spec(100);
        test.submit(running);
        EngineFault fault = assertThrows(EngineFault.class, () -> test.work(10));
        RequestSpec late = test.spec(5);
        test.submit(late);
        test.loop.close(DropReason.ENGINE_DEAD, String.valueOf(fault.getMessage()));
        assertDropped(DropReason.ENGINE_DEAD, test.end(running.id()));
        assertDropped(DropReason.ENGINE_DEAD, test.end(late.id()));
        assertFalse(test.tokens(running.id()).isEmpty());
        assertEquals(0, test.door.placesTaken());
        assertInstanceOf(Door.Decision.Closed.class, test.ask(test.spec(5)));
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void shouldGoOnAfterAStepThatFails(boolean overlapped) {
        FaultPlan fifthFails = new OneStepFails(5, FaultPlan.StepFault.FAILED);
        LoopUnderTest test = new LoopUnderTest(overlapped, fifthFails);
        RequestSpec unlucky = test.spec(50);
        test.submit(unlucky);
        test.workUntilIdle();
        assertDropped(DropReason.STEP_FAILED, test.end(unlucky.id()));
        RequestSpec next = test.spec(5);
        test.submit(next);
        test.workUntilIdle();
        assertInstanceOf(SequenceEvent.Finished.class, test.end(next.id()));
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void shouldWaitForAnAdapterAndServeItThen(boolean overlapped) {
        LoopUnderTest test = new LoopUnderTest(overlapped, FaultPlan.NONE);
        RequestSpec spec = test.spec(4, 3);
        test.submit(spec);
        test.work(5);
        assertEquals(List.of(3), test.wanted);
        assertTrue(test.events(spec.id()).isEmpty());
        StagedAdapter staged = test.engine.stage(new AdapterWeights("three", 1 << 20, ByteBuffer.allocate(0)));
        StagingInbox staging = new StagingInbox(test.door.inbox());
        staging.adapterReady(3, staged);
        test.workUntilIdle();
        assertEquals(4, test.tokens(spec.id()).size());
        CompletableFuture<Boolean> gone = staging.adapterGone(3);
        test.work(1);
        assertTrue(gone.join());
    }

    @Test
    void shouldKeepAnAdapterThatIsInUse() {
        LoopUnderTest test = new LoopUnderTest(false, FaultPlan.NONE);
        test.submit(test.spec(50, 3));
        test.work(1);
        StagingInbox staging = new StagingInbox(test.door.inbox());
        staging.adapterReady(3, test.engine.stage(new AdapterWeights("three", 1 << 20, ByteBuffer.allocate(0))));
        test.work(3);
        CompletableFuture<Boolean> gone = staging.adapterGone(3);
        test.work(1);
        assertFalse(gone.join());
        test.loop.close(DropReason.DRAINING, "");
        assertTrue(staging.adapterGone(3).join(), "a closed inbox gives every adapter up");
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void shouldGiveAnAdapterUpWhenItsLastRequestHasEnded(boolean overlapped) {
        LoopUnderTest test = new LoopUnderTest(overlapped, FaultPlan.NONE);
        StagingInbox staging = new StagingInbox(test.door.inbox());
        CompletableFuture<Boolean> unused = staging.adapterRetired(9);
        test.work(1);
        assertTrue(unused.join(), "nobody uses it");
        test.submit(test.spec(4, 3));
        StagedAdapter staged = test.engine.stage(new AdapterWeights("three", 1, ByteBuffer.allocate(0)));
        staging.adapterReady(3, staged);
        CompletableFuture<Boolean> used = staging.adapterRetired(3);
        test.work(2);
        assertFalse(used.isDone(), "a request runs on it");
        test.workUntilIdle();
        test.work(3);
        assertTrue(used.isDone());
        assertEquals(0, test.door.snapshot().pagesAdapter(), "its pages are free without another request");
        staging.adapterRetired(4);
        test.loop.close(DropReason.DRAINING, "");
        assertTrue(staging.adapterRetired(5).join(), "a closed inbox gives every adapter up");
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void shouldTellWhenNoRequestUsesAnAdapter(boolean overlapped) {
        LoopUnderTest test = new LoopUnderTest(overlapped, FaultPlan.NONE);
        StagingInbox staging = new StagingInbox(test.door.inbox());
        CompletableFuture<Void> unused = staging.adapterUnused(9);
        test.work(1);
        assertTrue(unused.isDone(), "nobody uses it");
        test.submit(test.spec(4, 3));
        CompletableFuture<Void> used = staging.adapterUnused(3);
        test.work(2);
        assertFalse(used.isDone(), "a request waits for it");
        staging.adapterReady(3, test.engine.stage(new AdapterWeights("three", 1, ByteBuffer.allocate(0))));
        test.work(2);
        assertFalse(used.isDone(), "a request runs on it");
        test.workUntilIdle();
        test.work(1);
        assertTrue(used.isDone());
        RequestTicket waiting = test.submit(test.spec(4, 5));
        CompletableFuture<Void> open = staging.adapterUnused(5);
        test.work(1);
        assertFalse(open.isDone());
        test.loop.close(DropReason.DRAINING, "");
        assertDropped(DropReason.DRAINING, test.end(waiting.id()));
        assertTrue(open.isDone(), "the end of the loop is the end of every request");
        assertTrue(staging.adapterUnused(5).isDone());
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void shouldDropRequestsWhoseAdapterFails(boolean overlapped) {
        LoopUnderTest test = new LoopUnderTest(overlapped, FaultPlan.NONE);
        RequestSpec spec = test.spec(4, 3);
        test.submit(spec);
        test.work(2);
        new StagingInbox(test.door.inbox()).adapterFailed(3, DropReason.ADAPTER_FAILED, "its files have changed");
        test.work(1);
        SequenceEvent.Dropped end = assertDropped(DropReason.ADAPTER_FAILED, test.end(spec.id()));
        assertEquals("its files have changed", end.detail());
    }

    @Test
    void shouldTakeAllSequencesOfARequestOrNone() {
        LoopUnderTest test = new LoopUnderTest(false, FaultPlan.NONE);
        for (int i = 0; i < LoopUnderTest.PLACES - 2; i++) {
            test.submit(test.spec(4));
        }
        RequestSpec[] three = {test.spec(4), test.spec(4), test.spec(4)};
        Door.Decision.Refused refused = assertInstanceOf(Door.Decision.Refused.class, test.ask(three));
        assertEquals(Rejection.QUEUE_FULL, refused.reason());
        assertEquals(LoopUnderTest.PLACES - 2, test.door.placesTaken());
        assertEquals(1, test.door.refusals(Rejection.QUEUE_FULL));
        test.workUntilIdle();
        assertEquals(0, test.door.placesTaken());
        assertInstanceOf(Door.Decision.Admitted.class, test.ask(three));
    }

    @Test
    void shouldRefuseWhenEveryPlaceIsTaken() {
        LoopUnderTest test = new LoopUnderTest(false, FaultPlan.NONE);
        // Eight run, eight wait: as many as there are places, and fewer than may wait.
        for (int i = 0; i < LoopUnderTest.PLACES; i++) {
            test.submit(test.spec(50));
            test.work(1);
        }
        Door.Decision.Refused refused = assertInstanceOf(Door.Decision.Refused.class, test.ask(test.spec(4)));
        assertEquals(Rejection.QUEUE_FULL, refused.reason());
    }

    @Test
    void shouldRefuseWhatIsTooLong() {
        LoopUnderTest test = new LoopUnderTest(false, FaultPlan.NONE);
        Door.Decision.Refused refused = assertInstanceOf(Door.Decision.Refused.class, test.ask(test.spec(126)));
        assertEquals(Rejection.CONTEXT_EXCEEDED, refused.reason());
        assertEquals(0, test.door.placesTaken());
    }

    private static SequenceEvent.Dropped assertDropped(DropReason reason, SequenceEvent end) {
        SequenceEvent.Dropped dropped = assertInstanceOf(SequenceEvent.Dropped.class, end);
        assertEquals(reason, dropped.reason());
        return dropped;
    }
}
