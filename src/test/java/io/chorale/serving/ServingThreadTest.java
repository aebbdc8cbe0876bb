package io.chorale.serving;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.model.DropReason;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SequenceEvent;
import io.chorale.engine.sim.FaultPlan;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The thread around the loop: shutdown and death. The loop's clock is virtual, so only the thread takes time. */
@Timeout(30)
class ServingThreadTest {
    @Test
    void shouldFinishWhatIsUnderWayWhenItStops() {
        LoopUnderTest test = new LoopUnderTest(true, FaultPlan.NONE);
        ServingThread thread = thread(test, Duration.ofSeconds(20));
        RequestSpec spec = test.spec(100);
        test.submit(spec);
        thread.start();
        assertTrue(thread.drain());
        assertInstanceOf(SequenceEvent.Finished.class, test.end(spec.id()));
        assertEquals(100, test.tokens(spec.id()).size());
        assertInstanceOf(Door.Decision.Closed.class, test.ask(test.spec(1)));
    }

    @Test
    @Timeout(5)
    void shouldStopAtOnceWhenThereIsNothingToDo() throws InterruptedException {
        LoopUnderTest test = new LoopUnderTest(true, FaultPlan.NONE);
        ServingThread thread = thread(test, Duration.ofSeconds(20));
        thread.start();
        TimeUnit.MILLISECONDS.sleep(50);
        assertTrue(thread.drain());
    }

    @Test
    void shouldDropWhatTakesLongerThanTheGracePeriod() {
        LoopUnderTest test = new LoopUnderTest(true, FaultPlan.NONE);
        // On the virtual clock a step takes a millisecond.
        ServingThread thread = thread(test, Duration.ofMillis(20));
        RequestSpec spec = test.spec(120);
        test.submit(spec);
        // Before the thread runs: virtual steps take no time, and the answer could be finished before it is told to
        // stop.
        test.lifecycle.advance(Lifecycle.State.DRAINING, "");
        thread.start();
        assertTrue(thread.drain());
        SequenceEvent.Dropped end = assertInstanceOf(SequenceEvent.Dropped.class, test.end(spec.id()));
        assertEquals(DropReason.DRAINING, end.reason());
        assertEquals(LoopUnderTest.PAGES, test.door.snapshot().pagesFree());
    }

    @Test
    void shouldDieWithItsEngineAndSaySo() throws InterruptedException {
        LoopUnderTest test = new LoopUnderTest(true, new FaultPlan.Seeded(0, 0, 0, 0, 0, 6, 0));
        ServingThread thread = thread(test, Duration.ofSeconds(20));
        CountDownLatch ended = new CountDownLatch(1);
        RequestSpec spec = test.spec(100);
        test.door.enter(
                List.of(new Door.Entrant(
                        spec,
                        ticket -> ticket.drain(event -> {
                            if (event instanceof SequenceEvent.Dropped dropped
                                    && dropped.reason() == DropReason.ENGINE_DEAD) {
                                ended.countDown();
                            }
                        }))),
                Runnable::run);
        thread.start();
        assertTrue(ended.await(20, TimeUnit.SECONDS));
        assertEquals(Lifecycle.State.DEAD, test.lifecycle.state());
        assertTrue(thread.drain());
        assertEquals(Lifecycle.State.DEAD, test.lifecycle.state(), "death is not undone by a shutdown");
    }

    @Test
    void shouldNotCountAsBusyWhileItWaits() throws InterruptedException {
        LoopUnderTest test = new LoopUnderTest(false, FaultPlan.NONE);
        ServingThread thread = thread(test, Duration.ofSeconds(1));
        thread.start();
        RequestSpec spec = test.spec(5);
        test.submit(spec);
        while (test.loop.hasRequests()
                || test.lifecycle.busyNanos() > 0
                || test.events(spec.id()).isEmpty()) {
            TimeUnit.MILLISECONDS.sleep(1);
        }
        test.clock.sleepUntil(Duration.ofDays(1).toNanos());
        assertEquals(0, test.lifecycle.busyNanos());
        assertFalse(test.loop.hasRequests());
        thread.drain();
    }

    private static ServingThread thread(LoopUnderTest test, Duration grace) {
        return new ServingThread(test.loop, test.door.inbox(), test.lifecycle, test.clock::nanos, grace);
    }
}
