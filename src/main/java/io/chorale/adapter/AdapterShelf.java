package io.chorale.adapter;

import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;

/**
 * What the server remembers of its adapters: which folder is watched, what came and went by the API, what is known of
 * contents. With a folder for its state it remembers over restarts, and keeps files of its own.
 */
public final class AdapterShelf implements AutoCloseable {
    private static final Logger LOG = System.getLogger(AdapterShelf.class.getName());
    private static final long SAVE_SECONDS = 2;

    /** A request that has looked its adapter up is behind the door long before that. */
    private static final Duration FORGOTTEN_AFTER = Duration.ofSeconds(10);

    private final AdapterFolder files;
    private final AdapterRegistry registry;
    private final KnownDigests digests;
    private final Optional<Path> stateFolder;
    private final AdapterAliases aliases = new AdapterAliases();
    private final Set<String> loaded = ConcurrentHashMap.newKeySet();
    private final Set<String> removed = ConcurrentHashMap.newKeySet();
    private final ScheduledThreadPoolExecutor background = new ScheduledThreadPoolExecutor(
            1, Thread.ofPlatform().daemon().name("adapter-shelf").factory());

    /** Whether another look is due soon. */
    private final AtomicBoolean settling = new AtomicBoolean();

    private final Object contentTurn = new Object();

    /** By digest, of how many forgotten versions the content is still there. */
    private final Map<String, Integer> leaving = new ConcurrentHashMap<>();

    private volatile IntFunction<CompletableFuture<Void>> unused = version -> CompletableFuture.completedFuture(null);
    private volatile Duration forgottenAfter = Duration.ZERO;
    private @Nullable ContentStore content;
    private @Nullable FolderWatch watch;
    private @Nullable AdapterState saved;

    /** @param stateFolder where to remember; empty: nothing survives a restart, and nothing can be uploaded */
    public AdapterShelf(
            AdapterFolder files, AdapterRegistry registry, KnownDigests digests, Optional<Path> stateFolder) {
        this.files = files;
        this.registry = registry;
        this.digests = digests;
        this.stateFolder = stateFolder;
        // What is put off stays undone when the server stops: the next start looks for what nobody uses.
        background.setExecuteExistingDelayedTasksAfterShutdownPolicy(false);
    }

    public AdapterAliases aliases() {
        return aliases;
    }

    /**
     * Registers what the folder has and what is remembered.
     *
     * @param folder whose sub-folders are adapters
     */
    public void open(Optional<Path> folder) throws FileRejectedException {
        AdapterState state = AdapterState.EMPTY;
        if (stateFolder.isPresent()) {
            try {
                Files.createDirectories(stateFolder.get());
                content = new ContentStore(stateFolder.get());
            } catch (IOException impossible) {
                throw new FileRejectedException(stateFolder.get() + ": cannot be written: " + impossible.getMessage());
            }
            state = AdapterState.read(stateFolder.get());
            files.keepIn(content);
        }
        for (AdapterState.Name name : state.names()) {
            if (name.removed()) {
                removed.add(name.name());
            }
            for (AdapterState.Version version : name.versions()) {
                if (!version.digest().isEmpty()) {
                    digests.keep(version.fingerprint(), version.digest());
                }
            }
        }
        if (folder.isPresent()) {
            watch = new FolderWatch(folder.get(), files, registry, name -> !removed.contains(name));
            watch.begin();
        }
        state.names().stream().filter(name -> !name.removed()).forEach(this::restore);
        state.aliases().forEach(aliases::put);
        if (content != null) {
            forgetUnused(content);
        }
        registry.listen(new AdapterRegistry.Listener() {
            @Override
            public void superseded(AdapterEntry entry) {}

            @Override
            public void forgotten(AdapterEntry entry) {
                forget(entry);
            }
        });
    }

    /** Brings one name back as it was, and what its folder has now on top of that. */
    private void restore(AdapterState.Name name) {
        Optional<AdapterEntry> scanned = registry.find(name.name());
        if (scanned.isEmpty() && !name.loaded()) {
            return; // its folder is gone
        }
        if (name.loaded()) {
            loaded.add(name.name());
        }
        List<AdapterEntry> versions = new ArrayList<>();
        int current = -1;
        boolean hasScanned = false;
        for (int i = 0; i < name.versions().size(); i++) {
            AdapterState.Version version = name.versions().get(i);
            boolean isScanned =
                    scanned.isPresent() && scanned.get().fingerprint().equals(version.fingerprint());
            Optional<AdapterEntry> entry = isScanned ? scanned : restored(name.name(), version);
            if (entry.isPresent()) {
                versions.add(entry.get());
                current = i == name.current() ? versions.size() - 1 : current;
                hasScanned |= isScanned;
            }
        }
        if (scanned.isPresent() && !hasScanned) {
            versions.add(scanned.get()); // it changed meanwhile, and what is there now counts
            current = versions.size() - 1;
        }
        if (!versions.isEmpty()) {
            registry.restore(name.name(), versions, current < 0 ? versions.size() - 1 : current, name.pinned());
        }
    }

    /** A version whose files are still what they were; one of unknown content is not worth going back to. */
    private Optional<AdapterEntry> restored(String name, AdapterState.Version version) {
        if (version.digest().isEmpty()) {
            return Optional.empty();
        }
        ContentStore store = content;
        List<Path> places = store == null
                ? List.of(version.directory())
                : List.of(store.folderOf(version.digest()), version.directory());
        for (Path place : places) {
            try {
                AdapterEntry entry = files.examine(name, place);
                if (entry.usable() && !entry.digest().equals(version.digest())) {
                    entry = files.verify(name, place);
                }
                if (entry.digest().equals(version.digest())) {
                    return Optional.of(entry);
                }
            } catch (FileRejectedException broken) {
                LOG.log(Level.WARNING, "a version of adapter {0} is gone: {1}", name, broken.getMessage());
            }
        }
        return Optional.empty();
    }

    private void forgetUnused(ContentStore store) {
        Set<String> used = new HashSet<>();
        for (NamedAdapter named : registry.names()) {
            named.versions().forEach(entry -> used.add(entry.digest()));
        }
        try {
            store.retainOnly(used);
        } catch (IOException stays) {
            LOG.log(Level.WARNING, "contents that nobody uses stay where they are: {0}", stays.getMessage());
        }
    }

    /**
     * From now on the folder is looked at again and again, and what is found out is saved now and then.
     *
     * @param unused completed when no request uses a version any more, whose files stay until then
     */
    public void begin(Duration watchInterval, IntFunction<CompletableFuture<Void>> unused) {
        begin(watchInterval, unused, FORGOTTEN_AFTER);
    }

    @SuppressWarnings("FutureReturnValueIgnored") // the tasks catch what they throw
    void begin(Duration watchInterval, IntFunction<CompletableFuture<Void>> unused, Duration forgottenAfter) {
        this.unused = unused;
        this.forgottenAfter = forgottenAfter;
        FolderWatch watched = watch;
        if (watched != null && watchInterval.isPositive()) {
            files.onChanged(entry -> background.execute(() -> guarded(() -> lookUntilSettled(watched))));
            background.scheduleWithFixedDelay(
                    () -> guarded(() -> lookUntilSettled(watched)),
                    watchInterval.toMillis(),
                    watchInterval.toMillis(),
                    TimeUnit.MILLISECONDS);
        }
        if (stateFolder.isPresent()) {
            background.scheduleWithFixedDelay(
                    () -> guarded(this::saveLater), SAVE_SECONDS, SAVE_SECONDS, TimeUnit.SECONDS);
        }
    }

    /** One look, and others as long as something is on its way. */
    @SuppressWarnings("FutureReturnValueIgnored") // the task catches what it throws
    private void lookUntilSettled(FolderWatch watched) {
        if (watched.look() && settling.compareAndSet(false, true)) {
            background.schedule(
                    () -> {
                        settling.set(false);
                        guarded(() -> lookUntilSettled(watched));
                    },
                    FolderWatch.SETTLED_AFTER.toMillis() + 1,
                    TimeUnit.MILLISECONDS);
        }
    }

    /** What fails once may succeed the next time; an exception would end the repetition. */
    private static void guarded(Runnable task) {
        try {
            task.run();
        } catch (RuntimeException bug) {
            LOG.log(Level.ERROR, "looking after the adapters failed", bug);
        }
    }

    private void saveLater() {
        try {
            save();
        } catch (IOException failed) {
            LOG.log(Level.WARNING, "the state of the adapters is not saved: {0}", failed.getMessage());
        }
    }

    // ---- for the administration -----------------------------------------------------------------------------------

    /** A folder for files that come from elsewhere. */
    Path newFolder() throws AdapterRefusal, IOException {
        return store().newFolder();
    }

    /**
     * Held by whoever brings content in, until a name remembers it, and by whoever deletes what none remembers: otherwise
     * what goes and comes back at the same time would be deleted when it is back.
     */
    Object contentTurn() {
        return contentTurn;
    }

    Path adopt(Path folder, String digest) throws AdapterRefusal, IOException {
        return store().adopt(folder, digest);
    }

    private ContentStore store() throws AdapterRefusal {
        ContentStore store = content;
        if (store == null) {
            throw new AdapterRefusal(
                    AdapterRefusal.Kind.CONFLICT,
                    "this server keeps no files of its own: chorale.adapters.state-dir is not set");
        }
        return store;
    }

    void loaded(String name) {
        loaded.add(name);
        removed.remove(name);
    }

    void removed(String name) {
        loaded.remove(name);
        removed.add(name);
    }

    /** Writes down what is known, when it is something new. */
    synchronized void save() throws IOException {
        if (stateFolder.isEmpty()) {
            return;
        }
        AdapterState state = state();
        if (!state.equals(saved)) {
            state.write(stateFolder.get());
            saved = state;
        }
    }

    private AdapterState state() {
        List<AdapterState.Name> names = new ArrayList<>();
        for (NamedAdapter named : registry.names()) {
            boolean known =
                    named.versions().stream().anyMatch(entry -> !entry.digest().isEmpty());
            if (known || named.pinned() || loaded.contains(named.name())) {
                List<AdapterState.Version> versions = named.versions().stream()
                        .map(entry -> new AdapterState.Version(entry.directory(), entry.fingerprint(), entry.digest()))
                        .toList();
                names.add(new AdapterState.Name(
                        named.name(), loaded.contains(named.name()), false, named.pinned(), versions, named.current()));
            }
        }
        removed.stream()
                .sorted()
                .forEach(name -> names.add(new AdapterState.Name(name, false, true, false, List.of(), 0)));
        return new AdapterState(names, aliases.list());
    }

    /** Requests may be under way with it, and one that waits for its adapter still has its files to be read. */
    @SuppressWarnings("FutureReturnValueIgnored") // the tasks catch what they throw
    private void forget(AdapterEntry entry) {
        if (!entry.digest().isEmpty()) {
            leaving.merge(entry.digest(), 1, Integer::sum);
            background.schedule(
                    () -> unused.apply(entry.version())
                            .thenRunAsync(() -> guarded(() -> forgetContent(entry)), background),
                    forgottenAfter.toMillis(),
                    TimeUnit.MILLISECONDS);
        }
    }

    private void forgetContent(AdapterEntry entry) {
        synchronized (contentTurn) {
            String digest = entry.digest();
            leaving.computeIfPresent(digest, (same, count) -> count == 1 ? null : count - 1);
            // In this order: what has lost its name by now is among those that leave.
            if (!registry.hasContent(digest) && !leaving.containsKey(digest)) {
                digests.forget(entry.fingerprint());
                ContentStore store = content;
                if (store != null) {
                    store.forget(digest);
                }
            }
        }
    }

    /** Saves for the last time. */
    @Override
    public void close() {
        background.shutdown();
        try {
            if (!background.awaitTermination(10, TimeUnit.SECONDS)) {
                LOG.log(Level.WARNING, "looking after the adapters has not ended");
            }
        } catch (InterruptedException hurry) {
            Thread.currentThread().interrupt();
        }
        saveLater();
    }
}
