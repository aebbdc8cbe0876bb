package io.chorale.serving;

import java.util.function.Consumer;

/** Wants to know of every request. */
public interface RequestReporter {
    /** A request has come; called on its thread. What is returned hears of its end, once, on an event loop. */
    Consumer<RequestReport> begin();
}
