package io.chorale.core.policy;

/** Whether requests whose adapter is in the batch already are taken before others. */
public interface AdapterClusterPolicy {
    /** @param adaptersRunning distinct adapters of the running sequences */
    boolean prefersRunning(int adaptersRunning);

    /** Whether the first in line may be passed by those whose adapter is in the batch. */
    default boolean mayBePassed(SequenceView first, long nowNanos) {
        return true;
    }

    /** Whether only they may join the batch, until it has ended. */
    default boolean onlyRunning() {
        return false;
    }

    /** Whether even they may not, while so many others stand before the first of them. */
    default boolean drains(int othersBefore) {
        return false;
    }

    /** Everybody in line, whatever the adapter. */
    record None() implements AdapterClusterPolicy {
        @Override
        public boolean prefersRunning(int adaptersRunning) {
            return false;
        }
    }

    /** When the batch holds so many adapters: S-LoRA's D, a limit that yields where nothing else fits. */
    record SoftLimit(int adapters) implements AdapterClusterPolicy {
        @Override
        public boolean prefersRunning(int adaptersRunning) {
            return adaptersRunning >= adapters;
        }
    }

    /**
     * A batch is of one adapter until it has ended, and ends when too many others wait: S-LoRA's baseline that merges each
     * adapter in turn (its {@code peft_req_queue.py}).
     */
    record OneAtATime() implements AdapterClusterPolicy {
        private static final int OTHERS_MAX = 30;

        @Override
        public boolean prefersRunning(int adaptersRunning) {
            return true;
        }

        @Override
        public boolean onlyRunning() {
            return true;
        }

        @Override
        public boolean drains(int othersBefore) {
            return othersBefore > OTHERS_MAX;
        }
    }

    /**
     * Always, while half of the time of the first in line is not over: how far one may get ahead of other tenants is bounded
     * by the quantum, and an efficient step is not worth somebody's objective.
     */
    record WithinQuantum() implements AdapterClusterPolicy {
        @Override
        public boolean prefersRunning(int adaptersRunning) {
            return true;
        }

        @Override
        public boolean mayBePassed(SequenceView first, long nowNanos) {
            return first.ttftNanosMax() == 0 || nowNanos - first.arrivalNanos() <= first.ttftNanosMax() / 2;
        }
    }
}
