package io.chorale.serving;

import io.chorale.core.model.DropReason;
import io.chorale.engine.StagedAdapter;
import java.util.concurrent.CompletableFuture;

/** What other threads ask of the serving thread. A cancel is not among them: it is a flag on the ticket. */
sealed interface Command {
    /** A request for which the door has reserved a place. */
    record Submit(RequestTicket ticket) implements Command {}

    record AdapterReady(int version, StagedAdapter staged) implements Command {}

    record AdapterFailed(int version, DropReason reason, String detail) implements Command {}

    /** @param gone completed with true once no request uses the adapter any more and its handle may be released */
    record AdapterRetired(int version, CompletableFuture<Boolean> gone) implements Command {}

    /** @param unused completed once no request uses the adapter */
    record AdapterUnused(int version, CompletableFuture<Void> unused) implements Command {}

    /** @param answer true when the adapter is given up and its handle may be released */
    record AdapterGone(int version, CompletableFuture<Boolean> answer) implements Command {}
}
