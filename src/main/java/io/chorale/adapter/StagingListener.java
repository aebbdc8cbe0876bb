package io.chorale.adapter;

import io.chorale.engine.StagedAdapter;
import java.util.concurrent.CompletableFuture;

/**
 * Whoever uses staged adapters: the serving thread, behind its inbox. Called by loader threads; an implementation posts a
 * command and returns.
 */
public interface StagingListener {
    /** The adapter is in host memory; its handle stays valid until {@link #adapterGone} was answered with true. */
    void adapterReady(int version, StagedAdapter staged);

    /** The adapter could not be read or does not fit; a later request may try again. */
    void adapterFailed(int version, String detail);

    /**
     * Asks to give an adapter up. True: nobody uses its handle any more and it may be released. False: it is in use and
     * stays. An inbox that is closed answers true.
     */
    CompletableFuture<Boolean> adapterGone(int version);
}
