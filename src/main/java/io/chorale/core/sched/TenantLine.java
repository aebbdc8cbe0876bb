package io.chorale.core.sched;

import io.chorale.core.model.Priority;
import io.chorale.core.policy.FlowView;
import io.chorale.core.policy.TenantView;
import org.jspecify.annotations.Nullable;

/** One tenant in one class of priority: its flows that are in line, what it was served, and what that costs it. */
final class TenantLine extends ScoreHeap.Item implements TenantView {
    final int tenant;
    final Priority priority;
    final Account account;
    final ScoreHeap<Flow> ready = new ScoreHeap<>();
    /** For flows beyond those that may have an account of their own. */
    final Account rest = new Account();

    private final double unitsPerPrice;

    /** The flow that left the line last: its account is the floor for whoever comes to an empty line. */
    @Nullable
    Flow lastLeft;

    /** Its requests, waiting and running. */
    int live;

    /** Its requests in line, and those of them that wait without an objective. */
    int waiting;

    int patient;

    // Since it came to the line.
    boolean newestFirst;
    boolean lostSome;

    final AdmissionPace pace = new AdmissionPace();

    boolean listedIdle;

    TenantLine(int tenant, Priority priority, double weight, Account account) {
        this.tenant = tenant;
        this.priority = priority;
        this.account = account;
        unitsPerPrice = Account.UNITS / weight;
    }

    /** So much was done for a flow of it. */
    void charge(Flow flow, double price) {
        account.service += (long) (price * unitsPerPrice);
        flow.account.service += (long) (price * Account.UNITS);
    }

    @Override
    public long service() {
        return account.service;
    }

    @Override
    public FlowView firstFlow() {
        return ready.peek();
    }

    @Override
    public boolean newestFirst() {
        return newestFirst;
    }

    @Override
    public boolean lostSome() {
        return lostSome;
    }

    @Override
    public int waiting() {
        return waiting;
    }

    @Override
    public int patient() {
        return patient;
    }

    @Override
    public long admissionNanos() {
        return pace.nanos();
    }
}
