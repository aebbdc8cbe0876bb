package io.chorale.serving;

import io.chorale.engine.StagedAdapter;
import java.util.concurrent.CompletableFuture;

/** What other threads ask of the serving thread. A cancel is not among them: it is a flag on the ticket. */
sealed interface Command {
    /** A request for which the door has reserved a place. */
    record Submit(RequestTicket ticket) implements Command {}

    record AdapterReady(int version, StagedAdapter staged) implements Command {}

    record AdapterFailed(int version, String detail) implements Command {}

    /** @param answer true when the adapter is given up and its handle may be released */
    record AdapterGone(int version, CompletableFuture<Boolean> answer) implements Command {}
}
