package io.chorale.core.policy;

/** Whether requests whose adapter is in the batch already are taken before others. */
public interface AdapterClusterPolicy {
    /** @param adaptersRunning distinct adapters of the running sequences */
    boolean prefersRunning(int adaptersRunning);

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

    /** Always: how far one may get ahead is bounded by the quantum. */
    record WithinQuantum() implements AdapterClusterPolicy {
        @Override
        public boolean prefersRunning(int adaptersRunning) {
            return true;
        }
    }
}
