package io.chorale.adapter;

import io.chorale.engine.Engine;
import io.chorale.engine.EngineFault;
import io.chorale.engine.StagedAdapter;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

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
    private final HostStore store;
    private volatile boolean closing;

    /** Platform threads: staging is native work, which would hold a virtual thread's carrier. */
    private final ExecutorService loaders = Executors.newFixedThreadPool(
            READS_MAX, Thread.ofPlatform().daemon().name("adapter-loader-", 0).factory());

    /** @param hostBytesMax host memory that staged adapters may take together */
    public AdapterStager(
            AdapterRegistry registry,
            AdapterSource source,
            Engine engine,
            long hostBytesMax,
            StagingListener listener) {
        this.registry = registry;
        this.source = source;
        this.engine = engine;
        this.listener = listener;
        this.store = new HostStore(hostBytesMax, listener::adapterGone, engine::release, this::read);
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

    public HostStore store() {
        return store;
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
        String problem;
        try {
            AdapterEntry entry = registry.byVersion(version);
            problem = entry.usable() ? "" : String.join("; ", entry.problems());
            if (problem.isEmpty()) {
                StagedAdapter staged = engine.stage(source.read(entry));
                problem = keep(version, entry, staged);
            }
        } catch (FileRejectedException | EngineFault fault) {
            problem = String.valueOf(fault.getMessage());
        } catch (RuntimeException | OutOfMemoryError bug) {
            problem = "internal error while staging: " + bug;
        }
        if (!problem.isEmpty()) {
            store.abandon(version);
            listener.adapterFailed(version, problem);
        }
    }

    private String keep(int version, AdapterEntry entry, StagedAdapter staged) {
        if (store.makeRoom(staged.hostBytes())) {
            // In this order: once it is in the store, another loader may ask for it to go.
            listener.adapterReady(version, staged);
            store.put(version, staged);
            return "";
        }
        engine.release(staged);
        return "adapter '" + entry.name() + "' takes " + staged.hostBytes() + " bytes of host memory, of "
                + store.bytesMax() + " that adapters may have, and those in use leave too little";
    }
}
