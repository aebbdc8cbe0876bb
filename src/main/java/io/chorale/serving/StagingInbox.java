package io.chorale.serving;

import io.chorale.adapter.StagingListener;
import io.chorale.core.model.DropReason;
import io.chorale.engine.StagedAdapter;
import java.util.concurrent.CompletableFuture;

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
        CompletableFuture<Boolean> gone = new CompletableFuture<>();
        if (!inbox.offer(new Command.AdapterRetired(version, gone))) {
            gone.complete(true);
        }
        return gone;
    }

    @Override
    public CompletableFuture<Void> adapterUnused(int version) {
        CompletableFuture<Void> unused = new CompletableFuture<>();
        if (!inbox.offer(new Command.AdapterUnused(version, unused))) {
            unused.complete(null);
        }
        return unused;
    }

    @Override
    public CompletableFuture<Boolean> adapterGone(int version) {
        CompletableFuture<Boolean> answer = new CompletableFuture<>();
        if (!inbox.offer(new Command.AdapterGone(version, answer))) {
            answer.complete(true);
        }
        return answer;
    }
}
