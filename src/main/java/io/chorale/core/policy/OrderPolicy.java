package io.chorale.core.policy;

import io.chorale.core.policy.PolicySettings.Within;

/**
 * Who is next in line: tenants by rank, and of the first tenant its flows by rank. Ranks may grow between two looks at
 * them without anybody being told; when one falls, or a head changes, the waiting room asks again.
 */
public interface OrderPolicy {
    /** Lower goes first, ties by order of arrival of the head. */
    long rank(TenantView tenant);

    /** Lower goes first among the flows of one tenant, ties by order of arrival of the head. */
    long rank(FlowView flow);

    /** Whether the latest request of a flow is its head, over all tenants. */
    default boolean newestFirst() {
        return false;
    }

    /** The same for one tenant, where each has its own way. Asked before its flows are. */
    default boolean newestFirst(TenantView tenant) {
        return newestFirst();
    }

    /**
     * Whether a waiting request may have its turn in the time that it has left, as far as can be told; those who can not are
     * given up before it is over.
     *
     * @param before requests of its tenant that go before it
     */
    default boolean mayReach(TenantView tenant, long before, long nanosLeft) {
        return true;
    }

    /** Whether tenants go by service, so that who passes others must not have had much more than they. */
    default boolean byService() {
        return false;
    }

    /** Whether the flows of a tenant do, too. */
    default boolean flowsByService() {
        return byService();
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
     * The least served tenant first, by a virtual token counter (Sheng et al., Fairness in Serving Large Language Models,
     * section 4), and of its flows the least served again, or whose request came first, or last.
     */
    record LeastService(Within within) implements OrderPolicy {
        @Override
        public long rank(TenantView tenant) {
            return tenant.service();
        }

        @Override
        public long rank(FlowView flow) {
            if (within == Within.ADAPTERS) {
                return flow.service();
            }
            long order = flow.head().order();
            return flow.newestFirst() ? -order : order;
        }

        @Override
        public boolean newestFirst(TenantView tenant) {
            return within == Within.NEWEST || (within == Within.ADAPTIVE && Overload.newestFirst(tenant));
        }

        /** In order of arrival nobody is passed: who is late is so by what runs, and that may end. */
        @Override
        public boolean mayReach(TenantView tenant, long before, long nanosLeft) {
            return !tenant.newestFirst() || Overload.mayReach(tenant, before, nanosLeft);
        }

        @Override
        public boolean byService() {
            return true;
        }

        @Override
        public boolean flowsByService() {
            return within == Within.ADAPTERS;
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
