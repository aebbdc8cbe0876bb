package io.chorale.sim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;

import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.DropReason;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.sched.EventBatch;
import io.chorale.core.sched.Scheduler;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.core.sched.StepOutcome;
import io.chorale.core.sched.StepPlan;
import org.junit.jupiter.api.Test;

/** A row whose logits are not finite draws nothing: its request ends with an error, and nobody else notices. */
class NoDrawTest {
    @Test
    void shouldDropOnlyTheRequestThatDrewNothing() {
        Scheduler scheduler = new Scheduler(
                new PoolGeometry(8, 4, 0, 0), SchedulerLimits.of(32, 50, 8, 4, 0), SchedulerPolicies.PLAIN);
        for (int id = 0; id < 2; id++) {
            scheduler.submit(
                    new RequestSpec(id, 0, AdapterSet.BASE, new int[] {7, 8}, SamplingParams.greedy(3), 0, 0, 0), 0);
        }
        StepPlan plan = scheduler.plan(0);
        assertEquals(2, plan.sampleCount);
        StepOutcome outcome = new StepOutcome();
        outcome.stepId = plan.stepId;
        outcome.sampleCount = 2;
        outcome.tokenIds = new int[] {-1, 9};
        outcome.logProbs = new float[] {Float.NaN, Float.NaN};
        outcome.topStart = new int[] {0, 0, 0};
        scheduler.commit(outcome, 1);

        EventBatch events = new EventBatch();
        scheduler.drainEvents(events);
        SequenceEvent.Dropped dropped = null;
        for (int i = 0; i < events.size(); i++) {
            if (events.get(i) instanceof SequenceEvent.Dropped event) {
                dropped = event;
            }
        }
        assertEquals(
                DropReason.NO_TOKEN,
                assertInstanceOf(SequenceEvent.Dropped.class, dropped).reason());
        assertEquals(0, dropped.requestId());
        assertEquals(1, scheduler.snapshot().runningSequences());
        scheduler.verify();
    }
}
