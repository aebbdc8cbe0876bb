package io.chorale.adapter;

import io.chorale.core.model.Check;
import io.chorale.engine.StagedAdapter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.function.IntConsumer;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;

/**
 * The staged adapters, within a budget of bytes. The least recently wanted leave first, but only those that the serving
 * thread gives up: it owns their use, the store only asks.
 *
 * <p>An adapter is absent (no entry), claimed (somebody reads it), or staged. While the question whether a staged one may
 * go is open it is not asked for twice, and one that is wanted meanwhile is read again if it went.
 */
public final class HostStore {
    private static final class Entry {
        /** A handle of 0 is never valid: nothing is staged yet. */
        StagedAdapter staged = CLAIM;

        /** Open while the serving thread is asked whether it may go. */
        @Nullable
        CompletableFuture<Void> question;

        boolean wantedAgain;

        boolean isClaim() {
            return staged.handle() == 0;
        }
    }

    private static final StagedAdapter CLAIM = new StagedAdapter(0, 0, 0);

    private final long bytesMax;
    private final IntFunction<CompletableFuture<Boolean>> askGone;
    private final Consumer<StagedAdapter> release;
    private final IntConsumer readAgain;

    /** Least recently wanted first. */
    private final Map<Integer, Entry> entries = new LinkedHashMap<>(16, 0.75f, true);

    private long bytesUsed;

    /**
     * @param askGone asks the serving thread to give a version up
     * @param readAgain told of a version that went but was wanted while it did; it is claimed for whoever is told
     */
    HostStore(
            long bytesMax,
            IntFunction<CompletableFuture<Boolean>> askGone,
            Consumer<StagedAdapter> release,
            IntConsumer readAgain) {
        Check.argument(bytesMax > 0, () -> "the host memory for adapters must be positive");
        this.bytesMax = bytesMax;
        this.askGone = askGone;
        this.release = release;
        this.readAgain = readAgain;
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

    /** Marks a version as wanted now; true: it is absent, and claimed for the caller to read. */
    synchronized boolean claim(int version) {
        Entry entry = entries.get(version);
        if (entry == null) {
            entries.put(version, new Entry());
            return true;
        }
        entry.wantedAgain = entry.question != null;
        return false;
    }

    /** Gives a claim up: the version could not be read. */
    synchronized void abandon(int version) {
        entries.remove(version);
    }

    /** Turns a claim into a staged adapter, for whose bytes {@link #makeRoom} has made room. */
    synchronized void put(int version, StagedAdapter staged) {
        Entry entry = Objects.requireNonNull(entries.get(version), "not claimed");
        Check.state(entry.isClaim(), () -> "adapter version " + version + " is staged already");
        entry.staged = staged;
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
        if (entry == null || entry.isClaim()) {
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
        }
    }
}
