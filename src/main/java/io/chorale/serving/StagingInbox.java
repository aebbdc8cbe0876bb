package io.chorale.serving;

import io.chorale.adapter.StagingListener;
import io.chorale.core.model.DropReason;
import io.chorale.engine.StagedAdapter;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.function.Function;

/** Brings the news of staging, which loader threads have, to the serving thread. */
final class StagingInbox implements StagingListener {
    private final Inbox inbox;

    StagingInbox(Inbox inbox) {
        this.inbox = inbox;
    }

    @Override
    public void adapterReady(int version, StagedAdapter staged) {
        inbox.offer(new Command.AdapterReady(version, staged));
    }

    @Override
    public void adapterFailed(int version, DropReason reason, String detail) {
        inbox.offer(new Command.AdapterFailed(version, reason, detail));
    }

    @Override
    public CompletableFuture<Boolean> adapterRetired(int version) {
        return ask(gone -> new Command.AdapterRetired(version, gone), gone -> gone.complete(true));
    }

    @Override
    public CompletableFuture<Void> adapterUnused(int version) {
        return ask(unused -> new Command.AdapterUnused(version, unused), unused -> unused.complete(null));
    }

    @Override
    public CompletableFuture<Boolean> adapterGone(int version) {
        return ask(gone -> new Command.AdapterGone(version, gone), gone -> gone.complete(true));
    }

    private <T> CompletableFuture<T> ask(
            Function<CompletableFuture<T>, Command> question, Consumer<CompletableFuture<T>> whenClosed) {
        CompletableFuture<T> answer = new CompletableFuture<>();
        if (!inbox.offer(question.apply(answer))) {
            whenClosed.accept(answer);
        }
        return answer;
    }
}
