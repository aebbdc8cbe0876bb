package io.chorale.adapter;

import io.chorale.core.model.Check;
import io.chorale.engine.StagedAdapter;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.function.Consumer;
import java.util.function.IntConsumer;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;

/**
 * The staged adapters, within a budget of bytes. The least recently wanted leave first, but only those that the serving
 * thread gives up: it owns their use, the store only asks. Pinned ones stay.
 *
 * <p>An adapter is absent (no entry), claimed (somebody reads it), or staged. While the question whether a staged one may
 * go is open it is not asked for twice, and one that is wanted meanwhile is read again if it went. One that is retired
 * (its name points to another version now, or is gone) leaves when its last request has ended.
 */
public final class HostStore {
    private static final class Entry {
        /** A handle of 0 is never valid: nothing is staged yet. */
        StagedAdapter staged = CLAIM;

        /** Open while the serving thread is asked whether it may go. */
        @Nullable
        CompletableFuture<Void> question;

        boolean wantedAgain;

        /** It shall leave as soon as nobody uses it. */
        boolean retired;

        /** The serving thread's promise to say when that is. */
        @Nullable
        CompletableFuture<Boolean> farewell;

        boolean isClaim() {
            return staged.handle() == 0;
        }
    }

    private static final StagedAdapter CLAIM = new StagedAdapter(0, 0, 0);

    private final long bytesMax;
    private final IntFunction<CompletableFuture<Boolean>> askGone;
    private final IntFunction<CompletableFuture<Boolean>> askRetired;
    private final Consumer<StagedAdapter> release;
    private final IntConsumer readAgain;
    private final Executor background;

    /** Least recently wanted first. */
    private final Map<Integer, Entry> entries = new LinkedHashMap<>(16, 0.75f, true);

    private final Set<Integer> pinned = new HashSet<>();
    private long bytesUsed;

    /**
     * @param askGone asks the serving thread to give a version up now
     * @param askRetired asks it to give a version up when its last request has ended
     * @param readAgain told of a version that went but was wanted while it did; it is claimed for whoever is told
     * @param background releases what the serving thread has given up
     */
    HostStore(
            long bytesMax,
            IntFunction<CompletableFuture<Boolean>> askGone,
            IntFunction<CompletableFuture<Boolean>> askRetired,
            Consumer<StagedAdapter> release,
            IntConsumer readAgain,
            Executor background) {
        Check.argument(bytesMax > 0, () -> "the host memory for adapters must be positive");
        this.bytesMax = bytesMax;
        this.askGone = askGone;
        this.askRetired = askRetired;
        this.release = release;
        this.readAgain = readAgain;
        this.background = background;
    }

    public long bytesMax() {
        return bytesMax;
    }

    public synchronized long bytesUsed() {
        return bytesUsed;
    }

    /** Versions in host memory, the least recently wanted first. */
    public synchronized List<Integer> staged() {
        List<Integer> versions = new ArrayList<>();
        entries.forEach((version, entry) -> {
            if (!entry.isClaim()) {
                versions.add(version);
            }
        });
        return versions;
    }

    /** Bytes of a staged version; 0 where it is not. */
    public synchronized long bytesOf(int version) {
        Entry entry = entries.get(version);
        return entry == null ? 0 : entry.staged.hostBytes();
    }

    /** Bytes of all staged versions that are pinned. */
    public synchronized long bytesPinned() {
        return pinned.stream().mapToLong(this::bytesOf).sum();
    }

    public synchronized boolean isPinned(int version) {
        return pinned.contains(version);
    }

    /** A pinned version stays once it is staged, whoever else wants room. */
    public synchronized void pin(int version) {
        pinned.add(version);
    }

    public synchronized void unpin(int version) {
        pinned.remove(version);
    }

    /** Lets a version leave: now where nobody uses it, else when the last request that does has ended. */
    public void retire(int version) {
        synchronized (this) {
            pinned.remove(version);
            Entry entry = entries.get(version);
            if (entry == null || entry.retired) {
                return;
            }
            entry.retired = true;
        }
        bidFarewell(version);
    }

    /** The version is what its name points to again: it stays. One that has begun to leave is read again when wanted. */
    public synchronized void reinstate(int version) {
        Entry entry = entries.get(version);
        if (entry != null) {
            entry.retired = false;
        }
    }

    /** Asks for a retired version's leave, unless it is being read or asked about: whoever does that comes here after. */
    @SuppressWarnings("FutureReturnValueIgnored") // what fails there is the engine's death, which others tell
    private void bidFarewell(int version) {
        CompletableFuture<Boolean> farewell;
        synchronized (this) {
            Entry entry = entries.get(version);
            if (entry == null
                    || !entry.retired
                    || entry.isClaim()
                    || entry.question != null
                    || entry.farewell != null) {
                return;
            }
            farewell = askRetired.apply(version);
            entry.farewell = farewell;
        }
        farewell.thenAcceptAsync(gone -> settle(version, gone), background);
    }

    /** Marks a version as wanted now; true: it is absent, and claimed for the caller to read. */
    synchronized boolean claim(int version) {
        Entry entry = entries.get(version);
        if (entry == null) {
            entries.put(version, new Entry());
            return true;
        }
        // A farewell is granted by the thread that calls this: until then the adapter is there for whoever wants it.
        entry.wantedAgain = entry.farewell == null ? entry.question != null : entry.farewell.isDone();
        return false;
    }

    /** Gives a claim up: the version could not be read. */
    synchronized void abandon(int version) {
        entries.remove(version);
    }

    /** Turns a claim into a staged adapter, for whose bytes {@link #makeRoom} has made room. */
    void put(int version, StagedAdapter staged) {
        synchronized (this) {
            Entry entry = Objects.requireNonNull(entries.get(version), "not claimed");
            Check.state(entry.isClaim(), () -> "adapter version " + version + " is staged already");
            entry.staged = staged;
        }
        bidFarewell(version);
    }

    /**
     * Reserves bytes of the budget, asking staged adapters to leave, the least recently wanted first and each once, until
     * they fit. False: too many are in use; nothing is reserved. Blocks for the serving thread's answers.
     */
    boolean makeRoom(long bytes) {
        if (bytes > bytesMax) {
            return false; // nobody's leaving would help
        }
        for (int version : staged()) {
            if (reserve(bytes)) {
                return true;
            }
            CompletableFuture<Void> settled = new CompletableFuture<>();
            CompletableFuture<Void> open = question(version, settled);
            if (open == settled) {
                try {
                    settle(version, askGone.apply(version).join());
                } finally {
                    settled.complete(null);
                }
            } else {
                open.join(); // another loader asks; what it frees may do for both
            }
        }
        return reserve(bytes);
    }

    synchronized void releaseAll() {
        entries.values().forEach(entry -> {
            if (!entry.isClaim()) {
                release.accept(entry.staged);
            }
        });
        entries.clear();
        bytesUsed = 0;
    }

    private synchronized boolean reserve(long bytes) {
        if (bytes > bytesMax - bytesUsed) {
            return false;
        }
        bytesUsed += bytes;
        return true;
    }

    /** The open question whether a version may go: {@code mine} when it is the caller who asks, a settled one when nobody can. */
    private synchronized CompletableFuture<Void> question(int version, CompletableFuture<Void> mine) {
        Entry entry = entries.get(version);
        if (entry == null || entry.isClaim() || entry.farewell != null || pinned.contains(version)) {
            return CompletableFuture.completedFuture(null);
        }
        if (entry.question == null) {
            entry.question = mine;
        }
        return entry.question;
    }

    private void settle(int version, boolean gone) {
        boolean again;
        synchronized (this) {
            Entry entry = Objects.requireNonNull(entries.get(version), "an entry that was asked for stays");
            again = gone && entry.wantedAgain;
            entry.question = null;
            entry.farewell = null;
            entry.wantedAgain = false;
            if (gone) {
                release.accept(entry.staged);
                bytesUsed -= entry.staged.hostBytes();
                entry.staged = CLAIM;
                if (!again) {
                    entries.remove(version);
                }
            }
        }
        if (again) {
            readAgain.accept(version);
        } else if (!gone) {
            bidFarewell(version);
        }
    }
}
