package io.chorale.serving;

import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.sched.StepOutcome;
import io.chorale.core.sched.StepPlan;

/** Hears what the serving thread does, on that thread unless said otherwise: an implementation counts and returns. */
public interface ServingObserver {
    /** A request came from the door. */
    default void accepted(RequestSpec spec) {}

    /** The first step of a request was planned. */
    default void started(RequestSpec spec, long queuedNanos) {}

    /** @param expectedNanos what the door expected */
    default void firstToken(long ttftNanos, long expectedNanos) {}

    /** A request that had an objective got its first token, or will get none. */
    default void objective(boolean met) {}

    default void laterToken(long gapNanos) {}

    /** @param terminal Finished or Dropped */
    default void ended(RequestSpec spec, RequestTimes times, SequenceEvent terminal) {}

    /** @param plan what the step was asked to compute */
    default void stepBegun(StepPlan plan) {}

    /**
     * @param waitedNanos how long the serving thread waited for the outcome
     * @param gapNanos time between the end of the step before and the beginning of this one, when it followed directly
     */
    default void stepEnded(StepOutcome outcome, long waitedNanos, long gapNanos) {}

    /** An adapter came into host memory. Called by a loader thread. */
    default void adapterStaged(long nanos) {}

    /** Nobody listens. */
    ServingObserver NONE = new ServingObserver() {};
}
