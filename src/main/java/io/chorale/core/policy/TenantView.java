package io.chorale.core.policy;

/** A tenant that waits, in one class of priority. */
public interface TenantView {
    int tenant();

    /** What it has been served, divided by its weight, in units of which only differences mean anything. */
    long service();

    /** The flow of it that would go first; a tenant that is asked about is never without one. */
    FlowView firstFlow();
}
