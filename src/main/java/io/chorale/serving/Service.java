package io.chorale.serving;

import io.chorale.adapter.AdapterRegistry;
import io.chorale.adapter.AdapterSource;
import io.chorale.adapter.AdapterStager;
import io.chorale.core.admission.AdmissionController;
import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.sched.Scheduler;
import io.chorale.engine.Engine;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;

/** The parts of serving, put together: from an engine and a scheduler to a door that requests may come through. */
public final class Service implements AutoCloseable {
    /** The longest that a first answer of one token may take. */
    private static final Duration WARM_UP_MAX = Duration.ofMinutes(2);

    private final Engine engine;
    private final Lifecycle lifecycle;
    private final Door door;
    private final AdapterStager stager;
    private final ServingThread thread;

    /** Takes the engine over: {@link #close} closes it. */
    public Service(
            Engine engine,
            Scheduler scheduler,
            AdmissionController admission,
            AdapterRegistry adapters,
            AdapterSource source,
            ServingObserver observer,
            LongSupplier clock,
            Tenants tenants,
            ServingOptions options) {
        this.engine = engine;
        lifecycle = new Lifecycle(clock);
        door = new Door(
                admission,
                lifecycle,
                tenants,
                clock,
                scheduler.snapshot(),
                options.placesMax(),
                options.ticketEventsMax());
        stager = new AdapterStager(
                adapters,
                source,
                engine,
                options.hostBytesMax(),
                new StagingInbox(door.inbox()),
                observer::adapterStaged);
        ServingLoop loop =
                new ServingLoop(scheduler, engine, door, stager::request, observer, clock, options.overlapped());
        thread = new ServingThread(loop, door.inbox(), lifecycle, clock, options.drainGrace());
    }

    public Lifecycle lifecycle() {
        return lifecycle;
    }

    public Door door() {
        return door;
    }

    public AdapterStager stager() {
        return stager;
    }

    /**
     * Starts the serving thread and waits for a first answer, which proves that the whole path works.
     *
     * @throws IllegalStateException saying why there was none
     */
    public void start() {
        lifecycle.advance(Lifecycle.State.WARMING, "");
        thread.start();
        CompletableFuture<SequenceEvent> end = new CompletableFuture<>();
        RequestSpec spec = new RequestSpec(
                door.nextId(), 0, AdapterSet.BASE, new int[] {0}, SamplingParams.greedy(1), 0, 0, door.nowNanos());
        TicketListener listener = ticket -> ticket.drain(event -> {
            if (event instanceof SequenceEvent.Finished || event instanceof SequenceEvent.Dropped) {
                end.complete(event);
            }
        });
        Door.Decision decision = door.enter(List.of(new Door.Entrant(spec, listener)), Runnable::run);
        if (!(decision instanceof Door.Decision.Admitted)) {
            throw new IllegalStateException("the first request was refused: " + decision);
        }
        SequenceEvent last =
                end.orTimeout(WARM_UP_MAX.toSeconds(), TimeUnit.SECONDS).join();
        if (last instanceof SequenceEvent.Dropped dropped) {
            throw new IllegalStateException("the first request failed: " + dropped.detail());
        }
        lifecycle.advance(Lifecycle.State.SERVING, "");
    }

    /**
     * Refuses new requests, lets those under way end within the grace period, and returns when the serving thread has
     * ended.
     *
     * @return false when it does not end: it is stuck in a step
     */
    public boolean drain() {
        return thread.drain();
    }

    /** Drains where that was not done, then releases adapters and engine; a stuck engine is left as it is. */
    @Override
    public void close() {
        if (drain()) {
            stager.close();
            engine.close();
        }
    }
}
