package io.chorale.bench;

import io.chorale.adapter.FileRejectedException;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.sched.EventBatch;
import io.chorale.core.sched.StepPlan;
import java.io.IOException;
import java.util.Arrays;

/**
 * Tokens per second inside the engine: scheduler, plans, native steps and outcomes, without tokenizer and HTTP, on the
 * bundled model with the overlapped loop.
 */
final class EngineBench {
    private static final int RUNS = 5;
    private static final int ANSWER_TOKENS = 400;

    private final History history;

    EngineBench(History history) {
        this.history = history;
    }

    /** Returns the median tokens per second of 32 streams over the base model and six adapters. */
    double run() throws IOException, FileRejectedException {
        try (BundledModel model = new BundledModel(64)) {
            String machine = ", " + model.engine.spec().device();
            measure(model, 1, false);
            double[] one = new double[RUNS];
            double[] many = new double[RUNS];
            for (int run = 0; run < RUNS; run++) {
                one[run] = measure(model, 1, false);
                many[run] = measure(model, 32, true);
            }
            history.record("engine-1-stream", "tokens/s", one, 1000, "Fable, base model, greedy" + machine);
            history.record(
                    "engine-32-streams",
                    "tokens/s",
                    many,
                    6000,
                    "Fable, base model and six adapters, greedy" + machine);
            Arrays.sort(many);
            return many[RUNS / 2];
        }
    }

    private static double measure(BundledModel model, int streams, boolean mixed) {
        long start = System.nanoTime();
        model.submit(streams, mixed, ANSWER_TOKENS, start);
        EventBatch events = new EventBatch();
        long tokens = 0;
        int ended = 0;
        int inFlight = 0;
        while (ended < streams) {
            StepPlan plan = model.scheduler.plan(System.nanoTime());
            boolean begun = !plan.isEmpty();
            if (begun) {
                model.engine.begin(plan);
                inFlight++;
            }
            if (inFlight > (begun ? 1 : 0)) {
                model.scheduler.commit(model.engine.await(), System.nanoTime());
                inFlight--;
            }
            model.scheduler.drainEvents(events);
            for (int i = 0; i < events.size(); i++) {
                switch (events.get(i)) {
                    case SequenceEvent.Started started -> {}
                    case SequenceEvent.Token token -> tokens++;
                    case SequenceEvent.Finished finished -> ended++;
                    case SequenceEvent.Dropped dropped ->
                        throw new IllegalStateException("a stream was dropped: " + dropped);
                }
            }
            events.clear();
        }
        if (inFlight > 0) {
            model.scheduler.commit(model.engine.await(), System.nanoTime());
        }
        return tokens * 1e9 / (System.nanoTime() - start);
    }
}
