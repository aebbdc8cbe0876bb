package io.chorale.adapter;

import io.chorale.core.model.DropReason;
import io.chorale.engine.Engine;
import io.chorale.engine.EngineFault;
import io.chorale.engine.StagedAdapter;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.LongConsumer;

/**
 * Brings adapters from their files into host memory, off the serving thread, and makes room for them in the
 * {@link HostStore}.
 */
public final class AdapterStager implements AutoCloseable {
    /** Adapters read at the same time: enough to keep a disk busy, too few to crowd the host's memory bandwidth. */
    private static final int READS_MAX = 4;

    private final AdapterRegistry registry;
    private final AdapterSource source;
    private final Engine engine;
    private final StagingListener listener;
    private final LongConsumer stagedNanos;
    private final HostStore store;
    private final AdapterUses uses = new AdapterUses();
    private volatile boolean closing;

    /** Platform threads: staging is native work, which would hold a virtual thread's carrier. */
    private final ExecutorService loaders = Executors.newFixedThreadPool(
            READS_MAX, Thread.ofPlatform().daemon().name("adapter-loader-", 0).factory());

    /**
     * @param hostBytesMax host memory that staged adapters may take together
     * @param stagedNanos told how long each took, from its file to host memory
     */
    public AdapterStager(
            AdapterRegistry registry,
            AdapterSource source,
            Engine engine,
            long hostBytesMax,
            StagingListener listener,
            LongConsumer stagedNanos) {
        this.registry = registry;
        this.source = source;
        this.engine = engine;
        this.listener = listener;
        this.stagedNanos = stagedNanos;
        this.store = new HostStore(
                hostBytesMax, listener::adapterGone, listener::adapterRetired, engine::release, this::read, loaders);
        registry.listen(new AdapterRegistry.Listener() {
            @Override
            public void superseded(AdapterEntry entry) {
                store.retire(entry.version());
                registry.named(entry.name()).ifPresent(AdapterStager.this::follow);
            }

            @Override
            public void forgotten(AdapterEntry entry) {
                // An older version may be here on behalf of an alias.
                store.retire(entry.version());
                uses.forget(entry.version());
            }
        });
    }

    /** The name points to another version now, which is pinned where the one before was. */
    private void follow(NamedAdapter named) {
        int version = named.entry().version();
        store.reinstate(version);
        if (named.pinned()) {
            pin(version);
        }
    }

    /** Brings a version into host memory, to stay. */
    public void pin(int version) {
        store.pin(version);
        stage(version);
    }

    /** A request wants this adapter: counts it, and sees to it that it is {@link #stage staged}. The serving thread. */
    public void request(int version) {
        uses.count(version, System.nanoTime());
        stage(version);
    }

    /**
     * Sees to it that an adapter is in host memory. Returns at once; the listener hears {@code adapterReady} or {@code
     * adapterFailed} once. An adapter that is staged or under way is only marked as used: nothing is said again.
     */
    public void stage(int version) {
        if (store.claim(version)) {
            read(version);
        }
    }

    /** Completed when no request uses a version: at once where none does. */
    public CompletableFuture<Void> unused(int version) {
        return listener.adapterUnused(version);
    }

    public HostStore store() {
        return store;
    }

    /** How often and when a version was asked for. */
    public AdapterUse useOf(int version) {
        return uses.of(version);
    }

    /** Lets reads under way end, forgets those that wait, and releases what is staged; nothing may use it any more. */
    @Override
    public void close() {
        closing = true;
        loaders.close();
        store.releaseAll();
    }

    private void read(int version) {
        loaders.execute(() -> load(version));
    }

    private void load(int version) {
        if (closing) {
            return;
        }
        DropReason reason = DropReason.ADAPTER_FAILED;
        String problem;
        try {
            AdapterEntry entry =
                    registry.byVersion(version).orElseThrow(() -> new FileRejectedException("the adapter was removed"));
            StagedAdapter staged = stage(entry);
            if (store.makeRoom(staged.hostBytes())) {
                // In this order: once it is in the store, another loader may ask for it to go.
                listener.adapterReady(version, staged);
                store.put(version, staged);
                if (!registry.isCurrent(version)) {
                    // Replaced while its request was on the way here: it leaves with that request.
                    store.retire(version);
                }
                return;
            }
            engine.release(staged);
            problem = "adapter '" + entry.name() + "' takes " + staged.hostBytes() + " bytes of host memory, of "
                    + store.bytesMax() + " that adapters may have";
            if (staged.hostBytes() <= store.bytesMax()) {
                reason = DropReason.ADAPTER_UNAVAILABLE;
                problem += ", and those in use leave too little";
            }
        } catch (EngineFault fault) {
            problem = String.valueOf(fault.getMessage());
            if (fault.kind() == EngineFault.Kind.OUT_OF_RESOURCE) {
                reason = DropReason.ADAPTER_UNAVAILABLE;
            }
        } catch (FilesChangedException replaced) {
            reason = DropReason.ADAPTER_UNAVAILABLE;
            problem = String.valueOf(replaced.getMessage());
        } catch (FileRejectedException rejected) {
            problem = String.valueOf(rejected.getMessage());
        } catch (OutOfMemoryError exhausted) {
            reason = DropReason.ADAPTER_UNAVAILABLE;
            problem = "the heap has no room to read the adapter: " + exhausted.getMessage();
        } catch (RuntimeException bug) {
            problem = "internal error while staging: " + bug;
        }
        store.abandon(version);
        listener.adapterFailed(version, reason, problem);
    }

    /** Reads, verifies and stages; what was found out of the content is remembered. */
    private StagedAdapter stage(AdapterEntry entry) throws FileRejectedException {
        if (!entry.usable()) {
            throw new FileRejectedException(entry.problems());
        }
        long begun = System.nanoTime();
        StagedAdapter staged;
        try {
            staged = engine.stage(source.read(entry));
        } catch (FileRejectedException rejected) {
            if (isUnchanged(entry)) {
                registry.refused(entry.version(), rejected.problems());
            }
            throw rejected;
        }
        try {
            source.confirm(entry);
        } catch (FilesChangedException replaced) {
            engine.release(staged);
            throw replaced;
        }
        registry.verified(entry.version(), source.digest(entry));
        stagedNanos.accept(System.nanoTime() - begun);
        return staged;
    }

    /** Files that are being replaced say nothing of the version that they were. */
    private boolean isUnchanged(AdapterEntry entry) {
        try {
            source.confirm(entry);
            return true;
        } catch (FilesChangedException replaced) {
            return false;
        }
    }
}
