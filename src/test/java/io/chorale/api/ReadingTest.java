package io.chorale.api;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.smallrye.mutiny.helpers.test.UniAssertSubscriber;
import io.smallrye.mutiny.infrastructure.Infrastructure;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Long requests, which are read elsewhere, and clients that go away meanwhile. */
class ReadingTest {
    private final Queue<Runnable> worker = new ArrayDeque<>();
    private final Queue<Runnable> eventLoop = new ArrayDeque<>();
    private final List<Throwable> dropped = new ArrayList<>();

    @BeforeEach
    void watchWhatIsDropped() {
        Infrastructure.setDroppedExceptionHandler(dropped::add);
    }

    @AfterEach
    void nothingIsDropped() {
        Infrastructure.resetDroppedExceptionHandler();
        assertEquals(List.of(), dropped);
    }

    @Test
    void shouldTellWhatWasReadOnTheEventLoop() {
        UniAssertSubscriber<String> client = Reading.onWorker(worker::add, eventLoop::add, () -> "read")
                .subscribe()
                .withSubscriber(UniAssertSubscriber.create());
        worker.remove().run();
        client.assertNotTerminated();
        eventLoop.remove().run();
        client.assertCompleted().assertItem("read");
    }

    @Test
    void shouldTellWhyItRefuses() {
        UniAssertSubscriber<String> client = refused();
        worker.remove().run();
        eventLoop.remove().run();
        client.assertFailedWith(Problem.class, "no");
    }

    @Test
    void shouldNotMindARefusalWhoseClientGoesBeforeItIsTold() {
        UniAssertSubscriber<String> gone = refused();
        worker.remove().run();
        gone.cancel();
        eventLoop.forEach(Runnable::run);
        gone.assertNotTerminated();
    }

    @Test
    void shouldNotMindARefusalWhoseClientGoesWhileItIsRead() {
        UniAssertSubscriber<String> gone = UniAssertSubscriber.create();
        Reading.<String>onWorker(worker::add, eventLoop::add, () -> {
                    gone.cancel();
                    throw Problem.badValue("prompt", "no");
                })
                .subscribe()
                .withSubscriber(gone);
        worker.remove().run();
        eventLoop.forEach(Runnable::run);
        gone.assertNotTerminated();
    }

    private UniAssertSubscriber<String> refused() {
        return Reading.<String>onWorker(worker::add, eventLoop::add, () -> {
                    throw Problem.badValue("prompt", "no");
                })
                .subscribe()
                .withSubscriber(UniAssertSubscriber.create());
    }
}
