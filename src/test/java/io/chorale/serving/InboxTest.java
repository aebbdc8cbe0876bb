package io.chorale.serving;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.model.DropReason;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class InboxTest {
    private final Inbox inbox = new Inbox();

    @Test
    void shouldKeepTheOrderOfCommands() {
        Command first = new Command.AdapterFailed(1, DropReason.ADAPTER_FAILED, "");
        Command second = new Command.AdapterFailed(2, DropReason.ADAPTER_FAILED, "");
        assertTrue(inbox.offer(first));
        assertTrue(inbox.offer(second));
        assertEquals(first, inbox.poll());
        assertEquals(second, inbox.poll());
        assertNull(inbox.poll());
    }

    @Test
    void shouldRefuseWhenClosedAndKeepWhatWasThere() {
        Command early = new Command.AdapterFailed(1, DropReason.ADAPTER_FAILED, "");
        assertTrue(inbox.offer(early));
        inbox.close();
        assertFalse(inbox.offer(new Command.AdapterFailed(2, DropReason.ADAPTER_FAILED, "")));
        assertEquals(early, inbox.poll());
        assertNull(inbox.poll());
    }

    @Test
    @Timeout(10)
    void shouldNotWaitWhenThereIsSomethingToDo() {
        inbox.offer(new Command.AdapterFailed(1, DropReason.ADAPTER_FAILED, ""));
        inbox.await(Long.MAX_VALUE);
        inbox.poll();
        inbox.signalCancel();
        inbox.await(Long.MAX_VALUE);
    }

    @Test
    @Timeout(30)
    void shouldWakeTheOwnerForEveryCommand() throws InterruptedException {
        int commands = 20_000;
        AtomicInteger got = new AtomicInteger();
        Thread owner = Thread.ofPlatform().start(() -> {
            while (got.get() < commands) {
                if (inbox.poll() == null) {
                    inbox.await(Long.MAX_VALUE);
                } else {
                    got.incrementAndGet();
                }
            }
        });
        for (int i = 0; i < commands; i++) {
            inbox.offer(new Command.AdapterFailed(i, DropReason.ADAPTER_FAILED, ""));
        }
        owner.join();
        assertEquals(commands, got.get());
    }

    /** Whoever offers while the owner closes is told no, or has its command taken out: never both, never neither. */
    @Test
    @Timeout(60)
    void shouldAnswerForEveryCommandWhenItCloses() throws InterruptedException {
        for (int round = 0; round < 50; round++) {
            Inbox closing = new Inbox();
            AtomicInteger accepted = new AtomicInteger();
            List<Thread> writers = new ArrayList<>();
            for (int w = 0; w < 3; w++) {
                writers.add(Thread.ofPlatform().start(() -> {
                    for (int i = 0; i < 100; i++) {
                        if (closing.offer(new Command.AdapterFailed(i, DropReason.ADAPTER_FAILED, ""))) {
                            accepted.incrementAndGet();
                        }
                    }
                }));
            }
            TimeUnit.MICROSECONDS.sleep(round);
            closing.close();
            int taken = 0;
            for (Thread writer : writers) {
                writer.join();
            }
            while (closing.poll() != null) {
                taken++;
            }
            assertEquals(accepted.get(), taken);
        }
    }
}
