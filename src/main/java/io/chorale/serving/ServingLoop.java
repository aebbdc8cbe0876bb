package io.chorale.serving;

import io.chorale.core.model.DropReason;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.sched.EventBatch;
import io.chorale.core.sched.Scheduler;
import io.chorale.core.sched.StepOutcome;
import io.chorale.core.sched.StepPlan;
import io.chorale.engine.Engine;
import io.chorale.engine.StagedAdapter;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * The loop of the serving thread, one cycle a call of {@link #doWork}. It owns the scheduler and the engine's steps; it
 * decides nothing itself.
 *
 * <p>Two loops stand side by side. The plain one executes a step and commits it. The overlapped one begins step n + 1
 * before it waits for step n, so that planning, encoding and fan-out run while the engine computes.
 */
final class ServingLoop {
    /** Commands applied in one cycle at most, so that a flood of them cannot hold up the step. */
    private static final int COMMANDS_PER_CYCLE_MAX = 512;
    /** A pool of millions of pages takes tens of milliseconds to verify, which a lone request should not wait for each time. */
    private static final long VERIFY_EVERY_NANOS = 10_000_000_000L;

    private final Scheduler scheduler;
    private final Engine engine;
    private final Inbox inbox;
    private final Door door;
    private final IntConsumer stageAdapter;
    private final ServingObserver observer;
    private final LongSupplier clock;
    private final boolean overlapped;

    private final EventFanout fanout = new EventFanout();
    private final EventBatch events = new EventBatch();
    private final Map<Long, RequestTicket> live = new HashMap<>();
    private final List<Command.AdapterRetired> retiring = new ArrayList<>();
    private final List<Command.AdapterUnused> outliving = new ArrayList<>();
    private int stepsInFlight;
    private long lastStepEndNanos;
    private boolean idleSinceLastStep = true;
    private boolean unverified;
    private long verifiedNanos;

    /** @param stageAdapter asked to bring an adapter into host memory; must return at once */
    ServingLoop(
            Scheduler scheduler,
            Engine engine,
            Door door,
            IntConsumer stageAdapter,
            ServingObserver observer,
            LongSupplier clock,
            boolean overlapped) {
        this.scheduler = scheduler;
        this.engine = engine;
        this.door = door;
        this.inbox = door.inbox();
        this.stageAdapter = stageAdapter;
        this.observer = observer;
        this.clock = clock;
        this.verifiedNanos = clock.getAsLong() - VERIFY_EVERY_NANOS;
        this.overlapped = overlapped;
        door.publish(scheduler.snapshot());
    }

    /** One cycle; returns how much there was to do: 0 when the caller may wait on the inbox. */
    int doWork() {
        long now = clock.getAsLong();
        int work = drainInbox(now);
        if (!retiring.isEmpty()) {
            giveUpRetired();
        }
        if (!outliving.isEmpty()) {
            tellUnused();
        }
        work += overlapped ? stepAhead(now) : step(now);
        publish();
        if (work == 0) {
            idleSinceLastStep = true;
            verify(now);
        }
        return work;
    }

    /** Checks the whole state against itself: there is time now. */
    private void verify(long now) {
        if (unverified && now - verifiedNanos >= VERIFY_EVERY_NANOS) {
            unverified = false;
            verifiedNanos = now;
            scheduler.verify();
        }
    }

    private int step(long now) {
        StepPlan plan = scheduler.plan(now);
        if (plan.isEmpty()) {
            return 0;
        }
        begin(plan);
        commitOldest();
        return 1;
    }

    private int stepAhead(long now) {
        StepPlan plan = scheduler.plan(now);
        boolean begun = !plan.isEmpty();
        if (begun) {
            begin(plan);
        }
        boolean due = stepsInFlight > (begun ? 1 : 0);
        if (due) {
            commitOldest();
        }
        return begun || due ? 1 : 0;
    }

    private void begin(StepPlan plan) {
        observer.stepBegun(plan);
        engine.begin(plan);
        stepsInFlight++;
    }

    private void commitOldest() {
        long begun = clock.getAsLong();
        StepOutcome outcome = engine.await();
        long ended = clock.getAsLong();
        stepsInFlight--;
        observer.stepEnded(outcome, ended - begun, idleSinceLastStep ? 0 : begun - lastStepEndNanos);
        lastStepEndNanos = ended;
        idleSinceLastStep = false;
        unverified = true;
        scheduler.commit(outcome, ended);
    }

    boolean hasRequests() {
        return !live.isEmpty();
    }

    boolean stepInFlight() {
        return stepsInFlight > 0;
    }

    private int drainInbox(long now) {
        int applied = 0;
        if (inbox.takeCancelSignal()) {
            applied++;
            dropCancelled();
        }
        for (Command command = inbox.poll(); command != null; command = inbox.poll()) {
            apply(command, now);
            if (++applied >= COMMANDS_PER_CYCLE_MAX) {
                break;
            }
        }
        return applied;
    }

    private void apply(Command command, long now) {
        switch (command) {
            case Command.Submit submit -> submit(submit.ticket(), now);
            case Command.AdapterReady ready -> {
                noteAdapterRead(ready.version(), now);
                StagedAdapter staged = ready.staged();
                scheduler.adapterReady(ready.version(), staged.handle(), staged.pages(), staged.mergeable());
            }
            case Command.AdapterFailed failed ->
                scheduler.adapterFailed(failed.version(), failed.reason(), failed.detail());
            case Command.AdapterGone gone -> gone.answer().complete(scheduler.adapterGone(gone.version()));
            case Command.AdapterRetired retired -> retiring.add(retired);
            case Command.AdapterUnused unused -> outliving.add(unused);
        }
    }

    /** Gives up the adapters that were to go when their last request has ended, as far as it has. */
    private void giveUpRetired() {
        for (int i = retiring.size() - 1; i >= 0; i--) {
            Command.AdapterRetired retired = retiring.get(i);
            if (scheduler.adapterRetired(retired.version())) {
                retiring.remove(i);
                retired.gone().complete(true);
            }
        }
    }

    /** Tells those who wait for an adapter's last request that it has ended. */
    private void tellUnused() {
        for (int i = outliving.size() - 1; i >= 0; i--) {
            Command.AdapterUnused waiting = outliving.get(i);
            if (!scheduler.adapterUsed(waiting.version())) {
                outliving.remove(i);
                waiting.unused().complete(null);
            }
        }
    }

    /** For those who have waited for it. */
    private void noteAdapterRead(int version, long now) {
        for (RequestTicket ticket : live.values()) {
            if (ticket.spec().adapters().has(version)) {
                ticket.times().adapterRead(now);
            }
        }
    }

    private void submit(RequestTicket ticket, long now) {
        live.put(ticket.id(), ticket);
        observer.accepted(ticket.spec());
        if (ticket.cancelRequested()) {
            drop(ticket, DropReason.CANCELLED, "the client went away");
            return;
        }
        Tenant tenant = door.tenants().at(ticket.spec().tenant());
        long waitNanos = tenant.chargeRequest(ticket.spec().promptTokens().length, now);
        if (waitNanos > 0) {
            end(
                    ticket,
                    new SequenceEvent.Dropped(
                            ticket.id(),
                            DropReason.QUOTA_EXCEEDED,
                            Door.quotaExceeded(tenant),
                            ticket.usage(),
                            waitNanos));
            return;
        }
        for (int version : ticket.spec().adapters().versions()) {
            stageAdapter.accept(version);
        }
        scheduler.submit(ticket.spec(), now);
    }

    private void dropCancelled() {
        List<RequestTicket> cancelled = new ArrayList<>();
        for (RequestTicket ticket : live.values()) {
            if (ticket.cancelRequested()) {
                cancelled.add(ticket);
            }
        }
        for (RequestTicket ticket : cancelled) {
            scheduler.cancel(ticket.id());
            DropReason reason = ticket.cancelReason();
            drop(ticket, reason, reason == DropReason.CANCELLED ? "the client went away" : "the client does not read");
        }
    }

    /** Ends every request that is left; the grace period of a shutdown is over. */
    void dropAll(DropReason reason, String detail) {
        scheduler.failAll(reason, detail);
        publish();
    }

    /**
     * The end of the loop, orderly or not: every request gets its answer, also those still in the inbox, and nothing
     * comes in any more. Uses neither scheduler nor engine, which may be broken.
     */
    void close(DropReason reason, String detail) {
        inbox.close();
        for (Command command = inbox.poll(); command != null; command = inbox.poll()) {
            switch (command) {
                case Command.Submit submit -> {
                    live.put(submit.ticket().id(), submit.ticket());
                    observer.accepted(submit.ticket().spec());
                }
                case Command.AdapterGone gone -> gone.answer().complete(true);
                case Command.AdapterRetired retired -> retiring.add(retired);
                case Command.AdapterUnused unused -> outliving.add(unused);
                case Command.AdapterReady ready -> {}
                case Command.AdapterFailed failed -> {}
            }
        }
        for (RequestTicket ticket : List.copyOf(live.values())) {
            drop(ticket, reason, detail);
        }
        retiring.forEach(retired -> retired.gone().complete(true));
        outliving.forEach(waiting -> waiting.unused().complete(null));
        fanout.flush();
    }

    private void publish() {
        scheduler.drainEvents(events);
        for (int i = 0; i < events.size(); i++) {
            SequenceEvent event = events.get(i);
            // A request that was dropped here is forgotten here; the scheduler may still speak of it for a step.
            @Nullable RequestTicket ticket = live.get(event.requestId());
            if (ticket != null) {
                publish(ticket, event);
            }
        }
        events.clear();
        fanout.flush();
        door.publish(scheduler.snapshot());
    }

    private void publish(RequestTicket ticket, SequenceEvent event) {
        switch (event) {
            case SequenceEvent.Started started -> {
                ticket.times().started(ticket.spec().arrivalNanos() + started.queuedNanos());
                observer.started(ticket.spec(), started.queuedNanos());
            }
            case SequenceEvent.Token token -> observeToken(ticket);
            case SequenceEvent.Finished finished -> {
                end(ticket, finished);
                return;
            }
            case SequenceEvent.Dropped dropped -> {
                end(ticket, dropped);
                return;
            }
        }
        if (ticket.offer(event)) {
            fanout.mark(ticket);
        } else {
            scheduler.cancel(ticket.id());
            drop(ticket, DropReason.SLOW_CONSUMER, "the client reads more slowly than its buffer allows");
        }
    }

    private void observeToken(RequestTicket ticket) {
        door.tenants().at(ticket.spec().tenant()).chargeToken(lastStepEndNanos);
        boolean first = ticket.tokens() == 0;
        long gap = ticket.tokenGap(lastStepEndNanos);
        if (first) {
            ticket.times().firstToken(lastStepEndNanos);
            long ttft = lastStepEndNanos - ticket.spec().arrivalNanos();
            observer.firstToken(ttft, ticket.ttftNanosEstimate());
            if (ticket.spec().ttftNanosMax() > 0) {
                observer.objective(ttft <= ticket.spec().ttftNanosMax());
            }
        } else {
            observer.laterToken(gap);
        }
    }

    private void drop(RequestTicket ticket, DropReason reason, String detail) {
        end(ticket, new SequenceEvent.Dropped(ticket.id(), reason, detail, ticket.usage()));
    }

    private void end(RequestTicket ticket, SequenceEvent last) {
        live.remove(ticket.id());
        ticket.times().ended(clock.getAsLong());
        ticket.end(last);
        door.placeFreed(ticket.spec());
        observer.ended(ticket.spec(), ticket.times(), last);
        if (ticket.tokens() == 0 && ticket.spec().ttftNanosMax() > 0 && last instanceof SequenceEvent.Dropped) {
            observer.objective(false);
        }
        fanout.mark(ticket);
    }
}
