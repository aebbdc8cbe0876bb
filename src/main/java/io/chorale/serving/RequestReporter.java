package io.chorale.serving;

import java.util.function.Consumer;

/** Wants to know of every request. */
public interface RequestReporter {
    /** A request has come; called on its thread. What is returned hears of its end, once, on an event loop. */
    Consumer<RequestReport> begin();

    /** Tells both. */
    static RequestReporter both(RequestReporter one, RequestReporter other) {
        return () -> one.begin().andThen(other.begin());
    }
}
