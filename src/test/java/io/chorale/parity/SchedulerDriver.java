package io.chorale.parity;

import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.memory.PrefixCaching;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.sched.EventBatch;
import io.chorale.core.sched.Scheduler;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.core.sched.StepPlan;
import io.chorale.engine.Engine;
import io.chorale.engine.EngineSpec;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** The real scheduler on a real engine, in the plain loop or with a step in flight, in virtual time. */
final class SchedulerDriver {
    /** What became of one request. */
    static final class Answer {
        final List<Integer> ids = new ArrayList<>();
        /** NaN where none was asked for. */
        final List<Float> logProbs = new ArrayList<>();
        /** Finished or Dropped, when it has ended. */
        SequenceEvent end = new SequenceEvent.Started(0, 0, 0);

        boolean ended() {
            return !(end instanceof SequenceEvent.Started);
        }
    }

    final Scheduler scheduler;
    final Map<Long, Answer> answers = new LinkedHashMap<>();

    private final Engine engine;
    private final boolean overlapped;
    private final EventBatch events = new EventBatch();
    private long now;
    private int inFlight;

    SchedulerDriver(Engine engine, int chunkTokens, int sequencesMax, SchedulerPolicies policies, boolean overlapped) {
        this(engine, chunkTokens, sequencesMax, policies, overlapped, PrefixCaching.OFF);
    }

    SchedulerDriver(
            Engine engine,
            int chunkTokens,
            int sequencesMax,
            SchedulerPolicies policies,
            boolean overlapped,
            PrefixCaching caching) {
        this.engine = engine;
        this.overlapped = overlapped;
        EngineSpec spec = engine.spec();
        scheduler = new Scheduler(
                new PoolGeometry(spec.pageCount(), spec.pageTokens(), spec.slotsMax(), spec.scratchMax()),
                new SchedulerLimits(
                        spec.contextMax(),
                        spec.vocab(),
                        spec.layerGroups(),
                        spec.rowsMax(),
                        chunkTokens,
                        sequencesMax,
                        sequencesMax,
                        spec.slotsMax(),
                        64,
                        2),
                policies,
                caching);
    }

    void submit(RequestSpec spec) {
        answers.put(spec.id(), new Answer());
        scheduler.submit(spec, now);
    }

    Answer answer(long id) {
        return Objects.requireNonNull(answers.get(id), "the request was submitted");
    }

    /** One cycle of the serving loop; false when there was nothing to do. */
    boolean cycle() {
        now += 1000;
        StepPlan plan = scheduler.plan(now);
        boolean begun = !plan.isEmpty();
        if (begun) {
            engine.begin(plan);
            inFlight++;
        }
        boolean due = inFlight > (begun && overlapped ? 1 : 0);
        if (due) {
            inFlight--;
            scheduler.commit(engine.await(), now);
        }
        scheduler.drainEvents(events);
        for (int i = 0; i < events.size(); i++) {
            take(events.get(i));
        }
        events.clear();
        return begun || due;
    }

    /** Runs until every request has ended. */
    void runAll() {
        while (answers.values().stream().anyMatch(answer -> !answer.ended())) {
            if (!cycle() && scheduler.isIdle()) {
                break;
            }
        }
        while (cycle()) {
            // Surplus rows of the last step.
        }
        scheduler.verify();
    }

    private void take(SequenceEvent event) {
        Answer answer = answer(event.requestId());
        if (answer.ended()) {
            throw new AssertionError(event + " comes after the end");
        }
        switch (event) {
            case SequenceEvent.Started started -> {}
            case SequenceEvent.Token token -> {
                answer.ids.add(token.tokenId());
                answer.logProbs.add(token.logProb());
            }
            case SequenceEvent.Finished finished -> answer.end = finished;
            case SequenceEvent.Dropped dropped -> answer.end = dropped;
        }
    }
}
