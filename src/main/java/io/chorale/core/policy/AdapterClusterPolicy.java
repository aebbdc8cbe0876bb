package io.chorale.core.policy;

/** Which adapters may join the running batch (S-LoRA's clustering; the bound on adapters a step holds in any case). */
public interface AdapterClusterPolicy {
    /**
     * Whether a waiting request may bring adapters that no running sequence uses.
     *
     * @param adaptersRunning distinct adapters of the running sequences
     * @param adaptersNew how many the request adds, at least 1
     */
    boolean mayJoin(int adaptersRunning, int adaptersNew, SequenceView request, long nowNanos);

    /** No clustering. */
    record Unrestricted() implements AdapterClusterPolicy {
        @Override
        public boolean mayJoin(int adaptersRunning, int adaptersNew, SequenceView request, long nowNanos) {
            return true;
        }
    }
}
