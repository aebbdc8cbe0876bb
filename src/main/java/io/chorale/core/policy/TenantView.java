package io.chorale.core.policy;

/** A tenant that waits, in one class of priority. */
public interface TenantView {
    /** What it has been served, divided by its weight, in units of which only differences mean anything. */
    long service();

    /** The flow of it that would go first; a tenant that is asked about is never without one. */
    FlowView firstFlow();

    /** Whether its latest request goes first now. */
    boolean newestFirst();

    /** Whether one of it was given up, since it came to the line. */
    boolean lostSome();

    /** Requests of it that are in line. */
    int waiting();

    /** Of those, the ones without an objective. */
    int patient();

    /** How long it lately took from one admission of it to the next while it was in line; 0 while nothing was measured. */
    long admissionNanos();
}
