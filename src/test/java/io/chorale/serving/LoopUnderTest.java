package io.chorale.serving;

import io.chorale.core.admission.AdmissionController;
import io.chorale.core.admission.AdmissionLimits;
import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.policy.StepCostModel;
import io.chorale.core.sched.Scheduler;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.engine.Engine;
import io.chorale.engine.sim.FaultPlan;
import io.chorale.engine.sim.SimClock;
import io.chorale.engine.sim.SimulatedEngine;
import io.chorale.engine.sim.SimulatedModel;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;

/** A serving loop on a simulated engine, stepped by hand; readers read at once unless told otherwise. */
final class LoopUnderTest {
    static final int PAGES = 64;
    static final int PLACES = 16;
    static final int TICKET_EVENTS = 8;

    final SimClock.Virtual clock = new SimClock.Virtual();
    final Lifecycle lifecycle = new Lifecycle(clock::nanos);
    final Engine engine;
    final Door door;
    final ServingLoop loop;
    final List<Integer> wanted = new ArrayList<>();
    private final Map<Long, List<SequenceEvent>> events = new ConcurrentHashMap<>();
    boolean readersSleep;

    LoopUnderTest(boolean overlapped, FaultPlan faults) {
        PoolGeometry pool = new PoolGeometry(PAGES, 4, 4, 4);
        SchedulerLimits limits = SchedulerLimits.of(128, 100, 64, 8, 4);
        engine = new SimulatedEngine(new SimulatedEngine.Settings(
                SimulatedEngine.spec(PAGES, 4, 100, 128, 4),
                new SimulatedModel(1, 100, 0, 0),
                StepCostModel.Linear.of(1_000_000),
                clock,
                faults));
        Scheduler scheduler = new Scheduler(pool, limits, SchedulerPolicies.PLAIN);
        AdmissionController admission =
                new AdmissionController(new AdmissionLimits(8, 12, 10_000, 128, pool, 512, false));
        door = new Door(
                admission,
                lifecycle,
                Tenants.single(clock::nanos),
                clock::nanos,
                scheduler.snapshot(),
                PLACES,
                TICKET_EVENTS);
        loop = new ServingLoop(scheduler, engine, door, wanted::add, ServingObserver.NONE, clock::nanos, overlapped);
        lifecycle.advance(Lifecycle.State.SERVING, "");
    }

    RequestSpec spec(int tokensMax, int... adapters) {
        AdapterSet set = adapters.length == 0 ? AdapterSet.BASE : AdapterSet.of(adapters[0]);
        return new RequestSpec(
                door.nextId(), 0, set, new int[] {1, 2, 3}, SamplingParams.greedy(tokensMax), 0, 0, door.nowNanos());
    }

    Door.Decision ask(RequestSpec... specs) {
        List<Door.Entrant> entrants = new ArrayList<>();
        for (RequestSpec spec : specs) {
            entrants.add(new Door.Entrant(spec, this::read));
        }
        return door.enter(entrants, Runnable::run);
    }

    RequestTicket submit(RequestSpec spec) {
        return ((Door.Decision.Admitted) ask(spec)).tickets().getFirst();
    }

    void read(RequestTicket ticket) {
        if (!readersSleep) {
            ticket.drain(events(ticket.id())::add);
        }
    }

    List<SequenceEvent> events(long id) {
        return events.computeIfAbsent(id, unseen -> new CopyOnWriteArrayList<>());
    }

    void work(int cycles) {
        for (int i = 0; i < cycles; i++) {
            loop.doWork();
        }
    }

    void workUntilIdle() {
        for (int i = 0; door.placesTaken() > 0 || loop.stepInFlight(); i++) {
            if (i > 10_000) {
                throw new AssertionError("requests never end");
            }
            loop.doWork();
        }
    }

    List<Integer> tokens(long id) {
        return events(id).stream()
                .filter(SequenceEvent.Token.class::isInstance)
                .map(event -> ((SequenceEvent.Token) event).tokenId())
                .toList();
    }

    /** The terminal event, and nothing may come after it. */
    SequenceEvent end(long id) {
        List<SequenceEvent> all = events(id);
        List<SequenceEvent> ends = all.stream()
                .filter(event -> event instanceof SequenceEvent.Finished || event instanceof SequenceEvent.Dropped)
                .toList();
        if (ends.size() != 1 || all.getLast() != ends.getFirst()) {
            throw new AssertionError("request " + id + " must end once, at last: " + all);
        }
        return ends.getFirst();
    }
}
