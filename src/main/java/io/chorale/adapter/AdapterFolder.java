package io.chorale.adapter;

import io.chorale.engine.AdapterWeights;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A folder of adapters: each sub-folder one, its name the name that clients ask for. One that is broken is registered with
 * what is wrong with it, so that a request for it can say so; it keeps nobody else from being served.
 *
 * <p>Registering reads a configuration and a header. The tensors are read and checked when the adapter is first staged,
 * once: what came of it is remembered with the version, and over restarts where the {@link KnownDigests} are kept.
 */
public final class AdapterFolder implements AdapterSource {
    /** What may stand in a URL, a file name and a metric without quoting. */
    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,127}");

    private final ModelShape base;
    private final HeadLimit heads;
    private final BaseCheck check;
    private final KnownDigests digests;
    private volatile Consumer<AdapterEntry> changed = entry -> {};
    private volatile @Nullable ContentStore kept;

    public AdapterFolder(ModelShape base) {
        this(base, new KnownDigests());
    }

    public AdapterFolder(ModelShape base, KnownDigests digests) {
        this(base, HeadLimit.UNLIMITED, BaseCheck.OFF, digests);
    }

    /**
     * @param heads how large those of adapters may be
     * @param check of the base model that adapters name
     * @param digests of contents that were read and checked before
     */
    public AdapterFolder(ModelShape base, HeadLimit heads, BaseCheck check, KnownDigests digests) {
        this.base = base;
        this.heads = heads;
        this.check = check;
        this.digests = digests;
    }

    /** @param listener told of a version whose files turn out to be others when it is to be staged; a loader thread calls */
    public void onChanged(Consumer<AdapterEntry> listener) {
        changed = listener;
    }

    /** From now on links to what was verified are kept there, so that one can go back to it. */
    void keepIn(@Nullable ContentStore store) {
        kept = store;
    }

    static boolean isName(String name) {
        return NAME.matcher(name).matches();
    }

    /** The sub-folders that are not hidden, in the order of names. */
    static List<Path> subFolders(Path folder) throws FileRejectedException {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.filter(Files::isDirectory)
                    .filter(directory -> !directory.getFileName().toString().startsWith("."))
                    .sorted()
                    .toList();
        } catch (IOException unreadable) {
            throw new FileRejectedException(folder + ": cannot be read: " + JsonText.reason(unreadable));
        }
    }

    /** Reads every sub-folder that is not hidden and registers what it finds, in the order of names. */
    public List<AdapterEntry> scan(Path folder, AdapterRegistry registry) throws FileRejectedException {
        return register(subFolders(folder), registry);
    }

    /** Reads these adapters' folders and registers what it finds, in their order. */
    List<AdapterEntry> register(List<Path> directories, AdapterRegistry registry) {
        // Thousands of small headers: all cores read at once.
        return registry.addAll(directories.parallelStream().map(this::examine).toList());
    }

    /** Reads the configuration and header of one adapter's folder; what comes out is not registered. */
    public AdapterEntry examine(Path directory) {
        return examine(directory.getFileName().toString(), directory);
    }

    /** The same for an adapter that has another name than its folder. */
    public AdapterEntry examine(String name, Path directory) {
        try {
            if (!isName(name)) {
                throw new FileRejectedException(directory + ": the folder's name is the adapter's name and must be 1 to"
                        + " 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit");
            }
            if (check.isServedAs(name)) {
                throw new FileRejectedException(directory + ": its name is the base model's");
            }
            PeftAdapter adapter = open(directory);
            String fingerprint = adapter.fingerprint();
            return sound(name, directory, adapter, fingerprint, digests.find(fingerprint));
        } catch (FileRejectedException rejected) {
            return broken(name, directory, rejected);
        }
    }

    private static AdapterEntry sound(
            String name, Path directory, PeftAdapter adapter, String fingerprint, String digest) {
        return new AdapterEntry(
                AdapterEntry.UNREGISTERED, name, directory, adapter.facts(), fingerprint, digest, List.of());
    }

    /** An adapter that cannot be served, and why. */
    static AdapterEntry broken(String name, Path directory, FileRejectedException why) {
        return new AdapterEntry(
                AdapterEntry.UNREGISTERED, name, directory, AdapterFacts.UNKNOWN, "", "", why.problems());
    }

    /**
     * Examines an adapter's folder to the last byte; what comes out is verified, and not registered.
     *
     * @throws FileRejectedException naming everything that is wrong
     */
    public AdapterEntry verify(String name, Path directory) throws FileRejectedException {
        PeftAdapter adapter = open(directory);
        String fingerprint = adapter.fingerprint();
        String digest = adapter.checkContent();
        digests.keep(fingerprint, digest);
        return sound(name, directory, adapter, fingerprint, digest);
    }

    @Override
    public AdapterWeights read(AdapterEntry entry) throws FileRejectedException {
        PeftAdapter adapter = open(entry);
        if (digests.find(entry.fingerprint()).isEmpty()) {
            String digest = adapter.checkContent();
            digests.keep(entry.fingerprint(), digest);
        }
        ContentStore store = kept;
        if (store != null) {
            store.keep(entry.directory(), digest(entry));
        }
        return adapter.weights(entry.name());
    }

    private PeftAdapter open(Path directory) throws FileRejectedException {
        return PeftAdapter.open(directory, base, heads, check);
    }

    /** The adapter's files: in its folder, or in the store where that folder has others now. */
    private PeftAdapter open(AdapterEntry entry) throws FileRejectedException {
        Optional<PeftAdapter> there = openIn(entry, keptFolder(entry));
        if (there.isPresent()) {
            return there.get();
        }
        PeftAdapter adapter = open(entry.directory());
        if (!adapter.fingerprint().equals(entry.fingerprint())) {
            changed.accept(entry);
            throw new FilesChangedException(entry);
        }
        return adapter;
    }

    private Optional<PeftAdapter> openIn(AdapterEntry entry, Optional<Path> directory) {
        try {
            if (directory.isPresent() && Files.isDirectory(directory.get())) {
                PeftAdapter adapter = open(directory.get());
                return Optional.of(adapter).filter(found -> isOf(entry, found));
            }
        } catch (FileRejectedException broken) {
            // Then it is not there.
        }
        return Optional.empty();
    }

    private static boolean isOf(AdapterEntry entry, PeftAdapter adapter) {
        try {
            return adapter.fingerprint().equals(entry.fingerprint());
        } catch (FileRejectedException unreadable) {
            return false;
        }
    }

    private Optional<Path> keptFolder(AdapterEntry entry) {
        ContentStore store = kept;
        String digest = digest(entry);
        return store == null || digest.isEmpty() ? Optional.empty() : Optional.of(store.folderOf(digest));
    }

    /** Whether the files of a version can still be read. */
    boolean isThere(AdapterEntry entry) {
        return openIn(entry, keptFolder(entry)).isPresent()
                || openIn(entry, Optional.of(entry.directory())).isPresent();
    }

    /** Of the files in a folder; see {@link AdapterEntry#fingerprint}. */
    String fingerprint(Path directory) throws FileRejectedException {
        PeftAdapter adapter = open(directory);
        String fingerprint = adapter.fingerprint();
        if (digests.find(fingerprint).isEmpty()) {
            digests.keep(fingerprint, adapter.checkContent());
        }
        return fingerprint;
    }

    @Override
    public void confirm(AdapterEntry entry) throws FilesChangedException {
        if (!isThere(entry)) {
            changed.accept(entry);
            throw new FilesChangedException(entry);
        }
    }

    @Override
    public String digest(AdapterEntry entry) {
        return digests.find(entry.fingerprint());
    }
}
