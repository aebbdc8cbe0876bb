package io.chorale.adapter;

import io.chorale.core.model.DropReason;
import io.chorale.engine.StagedAdapter;
import java.util.concurrent.CompletableFuture;

/**
 * Whoever uses staged adapters: the serving thread, behind its inbox. Called by loader threads; an implementation posts a
 * command and returns.
 */
public interface StagingListener {
    /** The adapter is in host memory; its handle stays valid until {@link #adapterGone} was answered with true. */
    void adapterReady(int version, StagedAdapter staged);

    /**
     * The adapter is not in host memory; a later request may try again.
     *
     * @param reason ADAPTER_FAILED: it could not be read or does not fit; ADAPTER_UNAVAILABLE: not now,
     *     since others in use leave no room or its files are being replaced
     */
    void adapterFailed(int version, DropReason reason, String detail);

    /**
     * Asks to give an adapter up when the last request that uses it has ended: at once where nobody does. True then, and
     * its handle may be released.
     */
    CompletableFuture<Boolean> adapterRetired(int version);

    /** Tells when no request uses an adapter: at once where none does. */
    CompletableFuture<Void> adapterUnused(int version);

    /**
     * Asks to give an adapter up. True: nobody uses its handle any more and it may be released. False: it is in use and
     * stays. An inbox that is closed answers true.
     */
    CompletableFuture<Boolean> adapterGone(int version);
}
