package io.chorale.simulate;

import io.chorale.core.admission.AdmissionController.Decision;
import io.chorale.core.model.LoadSnapshot;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.sched.EventBatch;
import io.chorale.workload.Workload;
import java.util.ArrayList;
import java.util.List;

/** Plays a workload against replicas, in virtual time: from event to event, whatever comes first. */
public final class Simulation {
    private static final long NANOS_PER_SAMPLE = 100_000_000L;
    private static final int CHECK_EVERY = 256;
    /** What the server tells a client whose request was given up in the queue. */
    private static final long DROPPED_RETRY_NANOS = 1_000_000_000L;

    /** Told now and then how far a run has come; says whether it is to go on. */
    public interface Progress {
        boolean goOn(int requestsEnded, int requests, double virtualSeconds);

        Progress SILENT = (ended, requests, seconds) -> true;
    }

    private final SimulationSettings settings;
    private final Workload workload;
    private final Clients clients;
    private final List<Replica> replicas = new ArrayList<>();
    private final EventBatch events = new EventBatch();
    private final Observations observations;
    private long requestsDispatched;
    private long nowNanos;
    private long sampledNanos = -NANOS_PER_SAMPLE;

    public Simulation(SimulationSettings settings, Workload workload) {
        this.settings = settings;
        this.workload = workload;
        clients = new Clients(
                workload,
                settings.retry(),
                (long) (settings.objectives().ttftSeconds() * 1e9),
                (long) settings.device().costs().host().requestNanos(),
                settings.seed());
        for (int i = 0; i < settings.replicas(); i++) {
            replicas.add(new Replica(settings, workload));
        }
        observations = new Observations(workload);
    }

    /** Plays to the end of the last answer, or until {@code progress} says that it is enough. */
    public SimulationResult run(Progress progress) {
        boolean cut = false;
        for (long turns = 0; advance(); turns++) {
            if (turns % CHECK_EVERY == 0
                    && !progress.goOn(workload.size() - clients.pending, workload.size(), nowNanos / 1e9)) {
                cut = true;
                break;
            }
        }
        sample(true);
        return SimulationResult.of(settings, workload, clients, replicas, observations, nowNanos, cut);
    }

    /** Lets the next thing happen; false: nothing is left. */
    private boolean advance() {
        int soonest = -1;
        long stepNanos = Long.MAX_VALUE;
        for (int i = 0; i < replicas.size(); i++) {
            if (replicas.get(i).nextNanos() < stepNanos) {
                stepNanos = replicas.get(i).nextNanos();
                soonest = i;
            }
        }
        long sendNanos = clients.nextNanos();
        if (sendNanos == Long.MAX_VALUE && soonest < 0) {
            checkNobodyIsForgotten();
            return false;
        }
        // What was sent at the moment in which a step ends is there when the next one is planned.
        if (sendNanos <= stepNanos) {
            nowNanos = sendNanos;
            send();
        } else {
            nowNanos = stepNanos;
            turn(soonest);
        }
        return true;
    }

    private void send() {
        int request = clients.send();
        int to = settings.dispatcher().choose(replicas, requestsDispatched++);
        Replica replica = replicas.get(to);
        RequestSpec spec = clients.spec(request, nowNanos);
        switch (replica.ask(spec)) {
            case Decision.Reject reject -> {
                observations.refusals++;
                clients.rejected(request, reject, nowNanos);
            }
            case Decision.Accept accept -> {
                replica.submit(spec, nowNanos);
                if (replica.nextNanos() == Long.MAX_VALUE && clients.nextNanos() > nowNanos) {
                    turn(to);
                }
            }
        }
    }

    private void turn(int at) {
        Replica replica = replicas.get(at);
        replica.turn(nowNanos);
        replica.drainEvents(events);
        for (int i = 0; i < events.size(); i++) {
            take(events.get(i), replica);
        }
        events.clear();
        sample(false);
    }

    private void take(SequenceEvent event, Replica replica) {
        int request = Clients.requestOf(event.requestId());
        switch (event) {
            case SequenceEvent.Token token -> {
                replica.lighten(1);
                if (clients.token(request, nowNanos)) {
                    replica.lighten(workload.promptTokens(request));
                    observations.prompt(request);
                }
                observations.token(request);
            }
            case SequenceEvent.Finished finished -> {
                replica.freePlace(workload.tenant(request));
                clients.finished(finished);
            }
            case SequenceEvent.Dropped dropped -> {
                replica.lighten((long) workload.promptTokens(request) + workload.answerTokens(request));
                replica.freePlace(workload.tenant(request));
                observations.aborts++;
                clients.dropped(request, dropped.reason(), DROPPED_RETRY_NANOS, nowNanos);
            }
            case SequenceEvent.Started started -> {}
        }
    }

    private void sample(boolean now) {
        if (!now && nowNanos < sampledNanos + NANOS_PER_SAMPLE) {
            return;
        }
        sampledNanos = nowNanos;
        observations.moveTo(nowNanos / 1e9);
        for (int i = 0; i < replicas.size(); i++) {
            LoadSnapshot load = replicas.get(i).snapshot();
            observations.load(i == 0, load);
        }
        observations.merges(replicas);
    }

    private void checkNobodyIsForgotten() {
        for (Replica replica : replicas) {
            if (replica.stalled()) {
                throw new IllegalStateException("a replica has stalled: " + replica.snapshot());
            }
        }
        if (clients.pending > 0) {
            throw new IllegalStateException(clients.pending + " requests were forgotten");
        }
    }
}
