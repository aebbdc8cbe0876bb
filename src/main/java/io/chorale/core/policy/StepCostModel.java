package io.chorale.core.policy;

/** How long a step takes, predicted from its shape. */
public interface StepCostModel {
    long stepNanos(StepShape step);

    /** A step of this shape has ended and took so long. */
    default void observe(StepShape step, long nanos) {}

    /** How far predictions were off lately, as a share of what the steps took; 0 where that is not followed. */
    default double error() {
        return 0;
    }

    /**
     * How far the difference between a step and so many times another may be off (one standard deviation); 0 where the model
     * is sure of itself.
     */
    default long doubtNanos(StepShape step, StepShape other, double part) {
        return 0;
    }

    /**
     * A sum of products: good enough for estimates and for a simulated engine.
     *
     * @param adapterNanos of each distinct adapter that is added to rows
     * @param adapterPageNanos of each page of those adapters
     * @param adapterRowNanos of each row to which one is added
     * @param loadPageNanos of each page uploaded
     * @param mergeNanos of making the shadow weights of one adapter
     */
    record Linear(
            long baseNanos,
            long rowNanos,
            double contextTokenNanos,
            long adapterNanos,
            long adapterPageNanos,
            long adapterRowNanos,
            long loadPageNanos,
            long mergeNanos)
            implements StepCostModel {
        /** The order of magnitude of an 8B model on one large GPU. */
        public static final Linear LARGE_GPU = new Linear(6_000_000, 15_000, 2.5, 20_000, 0, 0, 80_000, 9_000_000);

        public static final Linear FREE = of(0);

        /** A step that takes the same time whatever is in it. */
        public static Linear of(long baseNanos) {
            return new Linear(baseNanos, 0, 0, 0, 0, 0, 0, 0);
        }

        @Override
        public long stepNanos(StepShape step) {
            return baseNanos
                    + step.rows * rowNanos
                    + (long) (step.contextTokens * contextTokenNanos)
                    + step.adapters * adapterNanos
                    + step.adapterPages * adapterPageNanos
                    + step.adapterRows * adapterRowNanos
                    + step.loadPages * loadPageNanos
                    + (step.mergePages > 0 ? mergeNanos : 0);
        }
    }
}
