package io.chorale.bench;

import io.chorale.adapter.FileRejectedException;
import io.chorale.core.sched.EventBatch;
import io.chorale.core.sched.StepOutcome;
import io.chorale.core.sched.StepPlan;
import java.io.IOException;
import java.time.Duration;
import java.util.Arrays;

/**
 * What one step of the serving loop costs on the Java side while 256 sequences run: plan, encode and hand over, take back
 * and decode, commit and events. The native engine's check of the buffer is in it; its computing is not, since the
 * outcome is asked for when it is there.
 */
final class LoopStepBench {
    private static final int SEQUENCES = 256;
    private static final int WARM_UP_STEPS = 400;
    private static final int STEPS = 200;
    private static final int ANSWER_TOKENS = 700;

    private final History history;

    LoopStepBench(History history) {
        this.history = history;
    }

    void run() throws IOException, FileRejectedException, InterruptedException {
        try (BundledModel model = new BundledModel(SEQUENCES)) {
            EventBatch events = new EventBatch();
            double[] micros = new double[STEPS];
            long computingNanos = 0;
            model.submit(SEQUENCES, true, ANSWER_TOKENS, System.nanoTime());
            for (int step = -WARM_UP_STEPS; step < STEPS; step++) {
                long start = System.nanoTime();
                StepPlan plan = model.scheduler.plan(start);
                model.engine.begin(plan);
                long handedOver = System.nanoTime();
                if (step >= 0) {
                    Thread.sleep(Duration.ofNanos(3 * computingNanos)); // by then the outcome is there
                }
                long ready = System.nanoTime();
                StepOutcome outcome = model.engine.await();
                computingNanos = outcome.phaseNanos[outcome.phaseNanos.length - 1];
                model.scheduler.commit(outcome, System.nanoTime());
                model.scheduler.drainEvents(events);
                events.clear();
                if (step >= 0) {
                    micros[step] = (handedOver - start + System.nanoTime() - ready) / 1e3;
                }
            }
            Arrays.sort(micros);
            history.record(
                    "serving-loop-step",
                    "us",
                    micros,
                    200,
                    SEQUENCES + " sequences over the base model and six adapters");
        }
    }
}
