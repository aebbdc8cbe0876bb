package io.chorale.core.policy;

/** How long a step takes, predicted from its shape. */
public interface StepCostModel {
    /**
     * @param contextTokens tokens that attention reads, summed over the sequences
     * @param adapters distinct adapters
     * @param loadPages pages of adapters that are uploaded
     */
    long stepNanos(int rows, long contextTokens, int adapters, int loadPages);

    /** A sum of products: good enough for estimates and for a simulated engine. */
    record Linear(long baseNanos, long rowNanos, double contextTokenNanos, long adapterNanos, long loadPageNanos)
            implements StepCostModel {
        /** The order of magnitude of an 8B model on one large GPU. */
        public static final Linear LARGE_GPU = new Linear(6_000_000, 15_000, 2.5, 20_000, 80_000);

        public static final Linear FREE = new Linear(0, 0, 0, 0, 0);

        @Override
        public long stepNanos(int rows, long contextTokens, int adapters, int loadPages) {
            return baseNanos
                    + rows * rowNanos
                    + (long) (contextTokens * contextTokenNanos)
                    + adapters * adapterNanos
                    + loadPages * loadPageNanos;
        }
    }
}
