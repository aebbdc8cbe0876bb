package io.chorale.core.policy;

/**
 * A weight mode within bounds: when merged steps have held a flow back for too long, nothing is merged until half of that
 * is made good (dLoRA's credits with their two marks, in seconds of delay). So no policy starves anybody.
 */
public final class HeldBackLimit implements WeightModePolicy {
    private final WeightModePolicy policy;
    private final long patienceNanos;
    private boolean makingGood;

    public HeldBackLimit(WeightModePolicy policy, long patienceNanos) {
        this.policy = policy;
        this.patienceNanos = patienceNanos;
    }

    @Override
    public WeightMode choose(BatchDemand batch, long nowNanos) {
        makingGood = batch.creditNanosMax >= (makingGood ? patienceNanos / 2 : patienceNanos);
        return makingGood ? WeightMode.PAUSED : policy.choose(batch, nowNanos);
    }

    @Override
    public boolean looksAtBatch() {
        return policy.looksAtBatch();
    }
}
