package io.chorale.core.sched;

/** What somebody has been served. Only differences between accounts that compete mean anything. */
final class Account {
    /** Units of a price of 1, so that prices and weights may be fractions. */
    static final double UNITS = 1024;

    long service;

    /** Whoever was away does not come back with a claim on the time that it was away. */
    void lift(long floor) {
        service = Math.max(service, floor);
    }
}
