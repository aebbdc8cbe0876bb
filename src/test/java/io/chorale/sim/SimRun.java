package io.chorale.sim;

import io.chorale.core.model.DropReason;
import io.chorale.core.model.LoadSnapshot;
import io.chorale.core.model.SequenceEvent;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.Consumer;

/** Plays a workload on a server: arrivals, clients that go away, a host store that forgets; then asks how all ended. */
final class SimRun {
    private static final long STALL_TURNS_MAX = 1_000_000;

    final SimServer server;
    private final List<RandomRequests.Arrival> arrivals;
    private final int hostStoreMax;
    private final SplittableRandom random;
    private int next;
    private Consumer<SimServer> beforeTurn = server -> {};

    SimRun(SimServer.Config config, RandomRequests workload, long seed, int hostStoreMax) {
        this(config, workload.draw(seed), seed, hostStoreMax);
    }

    SimRun(SimServer.Config config, List<RandomRequests.Arrival> arrivals, long seed, int hostStoreMax) {
        server = new SimServer(config);
        this.arrivals = arrivals;
        this.hostStoreMax = hostStoreMax;
        random = new SplittableRandom(seed + 1);
    }

    SimRun withBeforeTurn(Consumer<SimServer> other) {
        beforeTurn = other;
        return this;
    }

    /** Plays to the end and checks that every request has exactly one. */
    SimRun play() {
        java.util.PriorityQueue<RandomRequests.Arrival> cancels =
                new java.util.PriorityQueue<>((a, b) -> Long.compare(a.cancelNanos(), b.cancelNanos()));
        for (long turns = 0; turns < STALL_TURNS_MAX; turns++) {
            long now = server.clock.nanos();
            for (; next < arrivals.size() && arrivals.get(next).spec().arrivalNanos() <= now && !server.dead; next++) {
                server.submit(arrivals.get(next).spec());
                if (arrivals.get(next).cancelNanos() < Long.MAX_VALUE) {
                    cancels.add(arrivals.get(next));
                }
            }
            while (!cancels.isEmpty() && cancels.peek().cancelNanos() <= now) {
                server.scheduler.cancel(cancels.poll().spec().id());
            }
            if (random.nextInt(8) == 0) {
                server.shrinkHostStore(hostStoreMax);
            }
            beforeTurn.accept(server);
            boolean idle = !server.turn() && server.stepsInFlight == 0;
            if (idle || server.dead) {
                long later = Math.min(
                        server.nextStagingNanos(),
                        next < arrivals.size() ? arrivals.get(next).spec().arrivalNanos() : Long.MAX_VALUE);
                if (later == Long.MAX_VALUE || server.dead) {
                    return checkEnds();
                }
                server.clock.sleepUntil(later);
            }
        }
        throw new AssertionError("no end in sight: " + server.scheduler.snapshot());
    }

    private SimRun checkEnds() {
        for (Answer answer : server.answers.values()) {
            if (answer.end == null) {
                throw new AssertionError(
                        "request " + answer.spec.id() + " was forgotten: " + server.scheduler.snapshot());
            }
        }
        LoadSnapshot snapshot = server.scheduler.snapshot();
        if (!server.dead && (snapshot.pagesKv() != 0 || snapshot.pagesQuarantined() != 0)) {
            throw new AssertionError("pages are lost: " + snapshot);
        }
        return this;
    }

    int finished() {
        return (int) server.answers.values().stream()
                .filter(answer -> answer.end instanceof SequenceEvent.Finished)
                .count();
    }

    Map<DropReason, Integer> dropped() {
        Map<DropReason, Integer> reasons = new EnumMap<>(DropReason.class);
        for (Answer answer : server.answers.values()) {
            if (answer.end instanceof SequenceEvent.Dropped drop) {
                reasons.merge(drop.reason(), 1, Integer::sum);
            }
        }
        return reasons;
    }

    String report() {
        LoadSnapshot s = server.scheduler.snapshot();
        return "%d finished, dropped %s, %.1f s simulated, %d steps (%d failed), %d rows, %d preemptions, %d loads, %d evictions"
                .formatted(
                        finished(),
                        dropped(),
                        server.clock.nanos() / 1e9,
                        s.steps(),
                        s.stepsFailed(),
                        s.rows(),
                        s.preemptions(),
                        s.adapterLoads(),
                        s.evictions());
    }
}
