package io.chorale.engine;

import io.chorale.core.sched.StepOutcome;
import io.chorale.core.sched.StepPlan;

/**
 * Computes steps. Java decides who, when and where; an engine decides nothing and computes everything. It keeps no
 * state between steps but weights, the bytes of its page pool, adapter slots and token counts.
 *
 * <p>{@code begin} and {@code await} belong to the serving thread. At most two steps may be begun and not yet awaited;
 * the plan is read completely before {@code begin} returns, the outcome is valid until the next {@code await}.
 * {@code stage}, {@code release} and {@code stagedBytes} may be called by any thread.
 */
public interface Engine extends AutoCloseable {
    EngineSpec spec();

    /** @throws EngineFault DEAD only; a plan that the engine refuses is a fault of the outcome */
    void begin(StepPlan plan);

    /**
     * Blocks until the oldest begun step has ended.
     *
     * @throws EngineFault DEAD only
     */
    StepOutcome await();

    /** @throws EngineFault REJECTED_INPUT naming what is wrong with the adapter, or OUT_OF_RESOURCE */
    StagedAdapter stage(AdapterWeights weights);

    void release(StagedAdapter adapter);

    /** Host memory that staged adapters have and the engine has not freed: released ones too, while a load needs them. */
    long stagedBytes();

    @Override
    void close();
}
