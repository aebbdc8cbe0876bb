package io.chorale.core.policy;

/**
 * Newest first while more requests come than are admitted, else oldest first: S-LoRA's order beside its early abort. In
 * overload those who came last can still meet their objective; otherwise it is plain first come, first served.
 *
 * <p>Both rates are smoothed over scheduling points, as in S-LoRA's code: arrivals are counted as the growth of the queue
 * since something was admitted last.
 */
public final class AdaptiveOrder implements OrderPolicy {
    private static final double NEW_SHARE = 0.7;
    private static final double OLD_SHARE = 0.3;

    private int arriving = 1;
    private int admitting = 1;
    private int waitingAtLastAdmission;

    @Override
    public void admitting(int waiting) {
        arriving = (int) (NEW_SHARE * (waiting - waitingAtLastAdmission) + OLD_SHARE * arriving);
    }

    @Override
    public void admitted(int count, int waiting) {
        if (count > 0) {
            waitingAtLastAdmission = waiting;
            admitting = Math.max((int) (NEW_SHARE * count + OLD_SHARE * admitting), 1);
        }
    }

    @Override
    public boolean newestFirst() {
        return arriving >= admitting;
    }

    @Override
    public long rank(TenantView tenant) {
        return rank(tenant.firstFlow());
    }

    @Override
    public long rank(FlowView flow) {
        long order = flow.head().order();
        return newestFirst() ? -order : order;
    }
}
