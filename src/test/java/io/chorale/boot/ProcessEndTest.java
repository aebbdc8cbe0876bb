package io.chorale.boot;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.serving.Lifecycle;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class ProcessEndTest {
    private static final Duration WITHIN = Duration.ofMillis(400);

    @Test
    void shouldEndInOrderOnceTheServiceIsDead() throws Exception {
        CompletableFuture<Integer> exited = new CompletableFuture<>();
        Lifecycle lifecycle = new Lifecycle(System::nanoTime);
        lifecycle.whenDead(new ProcessEnd(WITHIN, exited::complete, status -> {}));
        lifecycle.advance(Lifecycle.State.SERVING, "");
        lifecycle.advance(Lifecycle.State.DRAINING, "");
        assertTrue(!exited.isDone());
        long begin = System.nanoTime();
        lifecycle.advance(Lifecycle.State.DEAD, "CUDA: an illegal address");
        assertTrue(System.nanoTime() - begin < WITHIN.toNanos(), "the thread that died waits for nothing");
        assertEquals(ProcessEnd.STATUS, exited.get(10, TimeUnit.SECONDS));
    }

    @Test
    void shouldHaltWhenTheOrderlyEndHangs() throws Exception {
        CountDownLatch never = new CountDownLatch(1);
        CompletableFuture<Integer> halted = new CompletableFuture<>();
        long begin = System.nanoTime();
        new ProcessEnd(WITHIN, status -> awaitQuietly(never), halted::complete).accept("the engine is dead");
        assertEquals(ProcessEnd.STATUS, halted.get(10, TimeUnit.SECONDS));
        assertTrue(System.nanoTime() - begin >= WITHIN.toNanos());
        never.countDown();
    }

    private static void awaitQuietly(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException stop) {
            Thread.currentThread().interrupt();
        }
    }
}
