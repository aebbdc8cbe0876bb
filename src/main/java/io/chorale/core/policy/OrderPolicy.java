package io.chorale.core.policy;

/**
 * Who is next in line: tenants by rank, and of the first tenant its flows by rank. Ranks may grow between two looks at
 * them without anybody being told; when one falls, or a head changes, the waiting room asks again.
 */
public interface OrderPolicy {
    /** Lower goes first, ties by order of arrival of the head. */
    long rank(TenantView tenant);

    /** Lower goes first among the flows of one tenant, ties by order of arrival of the head. */
    long rank(FlowView flow);

    /** Whether the latest request of a flow is its head. */
    default boolean newestFirst() {
        return false;
    }

    /** Whether ranks are service, so that who passes others must not have had much more than they. */
    default boolean byService() {
        return false;
    }

    /** Requests are about to be admitted. */
    default void admitting(int waiting) {}

    /** So many were. */
    default void admitted(int count, int waiting) {}

    /** First come, first served, over all flows: the baseline. */
    record Arrival() implements OrderPolicy {
        @Override
        public long rank(TenantView tenant) {
            return tenant.firstFlow().head().order();
        }

        @Override
        public long rank(FlowView flow) {
            return flow.head().order();
        }
    }

    /** Last come, first served. */
    record Newest() implements OrderPolicy {
        @Override
        public long rank(TenantView tenant) {
            return -tenant.firstFlow().head().order();
        }

        @Override
        public long rank(FlowView flow) {
            return -flow.head().order();
        }

        @Override
        public boolean newestFirst() {
            return true;
        }
    }

    /**
     * The least served first: a virtual token counter for tenants, and inside each one for adapters (Sheng et al., Fairness
     * in Serving Large Language Models, section 4).
     */
    record LeastService() implements OrderPolicy {
        @Override
        public long rank(TenantView tenant) {
            return tenant.service();
        }

        @Override
        public long rank(FlowView flow) {
            return flow.service();
        }

        @Override
        public boolean byService() {
            return true;
        }
    }

    /** In order of arrival, after those whom merged steps have held back for too long, most held back first (dLoRA). */
    record Credits(long patienceNanos) implements OrderPolicy {
        @Override
        public long rank(TenantView tenant) {
            return rank(tenant.firstFlow());
        }

        @Override
        public long rank(FlowView flow) {
            long credit = flow.creditNanos();
            return credit >= patienceNanos ? -credit : flow.head().order();
        }
    }
}
