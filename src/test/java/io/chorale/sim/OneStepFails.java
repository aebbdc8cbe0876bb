package io.chorale.sim;

import io.chorale.engine.sim.FaultPlan;

/** One step of a run goes wrong, and nothing else. */
public record OneStepFails(long failing, StepFault fault) implements FaultPlan {
    @Override
    public StepFault stepFault(long stepId) {
        return stepId == failing ? fault : StepFault.NONE;
    }

    @Override
    public long delayNanos(long stepId) {
        return 0;
    }

    @Override
    public boolean stageFails(String adapterName) {
        return false;
    }
}
