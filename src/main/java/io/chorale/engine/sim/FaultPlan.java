package io.chorale.engine.sim;

/** What goes wrong in a simulated engine, and when. A function of its arguments, so that a run can be repeated. */
public interface FaultPlan {
    /** How a step ends. */
    enum StepFault {
        NONE,
        /** Refused before it begins: nothing changes. */
        REFUSED,
        /** Its moves happen, then it fails. */
        FAILED,
        /** The engine is gone. */
        DEAD
    }

    StepFault stepFault(long stepId);

    /** By how much the step takes longer. */
    long delayNanos(long stepId);

    boolean stageFails(String adapterName);

    FaultPlan NONE = new Seeded(0, 0, 0, 0, 0, Long.MAX_VALUE, 0);

    /** Faults drawn by hash; probabilities are by step or by adapter. */
    record Seeded(
            long seed,
            double refusedProbability,
            double failedProbability,
            double slowProbability,
            long slowNanos,
            long diesAtStep,
            double stageFailedProbability)
            implements FaultPlan {

        @Override
        public StepFault stepFault(long stepId) {
            if (stepId >= diesAtStep) {
                return StepFault.DEAD;
            }
            double drawn = unit(stepId, 1);
            if (drawn < refusedProbability) {
                return StepFault.REFUSED;
            }
            return drawn < refusedProbability + failedProbability ? StepFault.FAILED : StepFault.NONE;
        }

        @Override
        public long delayNanos(long stepId) {
            return unit(stepId, 2) < slowProbability ? slowNanos : 0;
        }

        @Override
        public boolean stageFails(String adapterName) {
            return unit(SimulatedModel.contribution(adapterName, 1), 3) < stageFailedProbability;
        }

        private double unit(long what, int purpose) {
            return (SimulatedModel.mix(SimulatedModel.mix(seed, what), purpose) >>> 11) * 0x1p-53;
        }
    }
}
