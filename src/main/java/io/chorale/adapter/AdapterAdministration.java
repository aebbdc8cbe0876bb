package io.chorale.adapter;

import io.chorale.adapter.AdapterRefusal.Kind;
import java.io.IOException;
import java.io.InputStream;
import java.lang.System.Logger;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * What may be done to adapters while the server runs. A method blocks while files are copied and verified; only then, in
 * one stroke, does a name point to what is new. Any thread.
 */
public final class AdapterAdministration {
    /** What became of a wish to serve an adapter. */
    public enum Outcome {
        /** The name is new. */
        ADDED,
        /** The name pointed to another version. */
        REPLACED,
        /** The name points to this content already. */
        UNCHANGED
    }

    /** An adapter's way to the doctor: its name and a folder with its files, which are the server's own or somebody's. */
    private record Candidate(Path folder, boolean isOurs) {}

    private static final Logger LOG = System.getLogger(AdapterAdministration.class.getName());

    private final AdapterFolder files;
    private final AdapterRegistry registry;
    private final AdapterStager stager;
    private final AdapterShelf shelf;
    private final AllowedRoots roots;
    private final AdapterSources sources;
    private final String baseName;
    private final long bytesMax;

    /**
     * @param roots folders that clients may name folders in
     * @param baseName the base model's name, which no adapter may have
     * @param bytesMax of one adapter's files
     */
    public AdapterAdministration(
            AdapterFolder files,
            AdapterRegistry registry,
            AdapterStager stager,
            AdapterShelf shelf,
            List<Path> roots,
            AdapterSources sources,
            String baseName,
            long bytesMax) {
        this.files = files;
        this.registry = registry;
        this.stager = stager;
        this.shelf = shelf;
        this.roots = new AllowedRoots(roots);
        this.sources = sources;
        this.baseName = baseName;
        this.bytesMax = bytesMax;
    }

    /**
     * Serves an adapter that lies in a folder or at a source.
     *
     * @param sha256 what the source must be
     * @param mayReplace whether the name may be there already
     */
    public Outcome load(String name, String source, Optional<String> sha256, boolean mayReplace)
            throws AdapterRefusal, IOException {
        checkName(name);
        checkIsNoAlias(name);
        if (!mayReplace && registry.find(name).isPresent()) {
            throw taken(name);
        }
        return serve(name, candidate(source, sha256), mayReplace);
    }

    /** Serves an adapter that comes as an archive. */
    public Outcome upload(String name, InputStream archive) throws AdapterRefusal, IOException {
        checkName(name);
        checkIsNoAlias(name);
        return serve(name, unpacked(archive), true);
    }

    /** Examines an adapter to the last byte and serves nothing. */
    public AdapterEntry validate(String source, Optional<String> sha256) throws AdapterRefusal, IOException {
        return examine("candidate", candidate(source, sha256));
    }

    /** The same for an archive. */
    public AdapterEntry validate(InputStream archive) throws AdapterRefusal, IOException {
        return examine("candidate", unpacked(archive));
    }

    private AdapterEntry examine(String name, Candidate candidate) throws AdapterRefusal, IOException {
        try {
            return files.verify(name, candidate.folder());
        } catch (FileRejectedException rejected) {
            throw invalid(rejected, candidate);
        } finally {
            discard(candidate);
        }
    }

    private Candidate candidate(String source, Optional<String> sha256) throws AdapterRefusal, IOException {
        if (!sources.knows(source)) {
            if (sha256.isPresent()) {
                throw new AdapterRefusal(
                        Kind.MALFORMED, "'sha256' is for a source on another machine, not for a folder");
            }
            return new Candidate(roots.resolve(source), false);
        }
        Path folder = shelf.newFolder();
        try {
            sources.fetch(source, sha256, folder, bytesMax);
            return new Candidate(folder, true);
        } catch (FileRejectedException rejected) {
            ContentStore.delete(folder);
            throw invalid(rejected);
        } catch (AdapterRefusal | IOException | RuntimeException failed) {
            ContentStore.delete(folder);
            throw failed;
        }
    }

    private Candidate unpacked(InputStream archive) throws AdapterRefusal, IOException {
        Path folder = shelf.newFolder();
        try {
            AdapterArchive.unpack(archive, folder, bytesMax);
            return new Candidate(folder, true);
        } catch (FileRejectedException rejected) {
            ContentStore.delete(folder);
            throw invalid(rejected);
        } catch (AdapterArchive.TooLargeException tooLarge) {
            ContentStore.delete(folder);
            throw new AdapterRefusal(Kind.TOO_LARGE, String.valueOf(tooLarge.getMessage()));
        } catch (IOException | RuntimeException failed) {
            ContentStore.delete(folder);
            throw failed;
        }
    }

    private Outcome serve(String name, Candidate candidate, boolean mayReplace) throws AdapterRefusal, IOException {
        try {
            AdapterEntry found = files.verify(name, candidate.folder());
            if (!candidate.isOurs()) {
                return register(found, mayReplace);
            }
            synchronized (shelf.contentTurn()) {
                Path home = shelf.adopt(candidate.folder(), found.digest());
                return register(found.refiled(home, files.fingerprint(home)), mayReplace);
            }
        } catch (FileRejectedException rejected) {
            throw invalid(rejected, candidate);
        } finally {
            discard(candidate);
        }
    }

    /** Points the name, in one stroke; the only place where two who want the same name meet. */
    private synchronized Outcome register(AdapterEntry found, boolean mayReplace) throws AdapterRefusal, IOException {
        String name = found.name();
        checkIsNoAlias(name);
        Optional<NamedAdapter> before = registry.named(name);
        if (before.isPresent() && !mayReplace) {
            throw taken(name);
        }
        shelf.loaded(name);
        Outcome outcome = before.isPresent() ? Outcome.REPLACED : Outcome.ADDED;
        if (before.isPresent() && before.get().entry().digest().equals(found.digest())) {
            outcome = Outcome.UNCHANGED;
            registry.refiled(before.get().entry().version(), found.directory(), found.fingerprint());
        } else {
            registry.add(found).warn(LOG);
        }
        shelf.save();
        return outcome;
    }

    /** Takes an adapter away: from now on it is unknown; requests that run on it end as they would have. */
    public synchronized void remove(String name) throws AdapterRefusal, IOException {
        if (registry.remove(name).isEmpty()) {
            throw unknown(name);
        }
        shelf.removed(name);
        shelf.save();
    }

    /**
     * Points a name to an earlier version.
     *
     * @param label beginning of the version's digest; empty: the one before the current one
     */
    public synchronized void rollBack(String name, String label) throws AdapterRefusal, IOException {
        NamedAdapter named = known(name);
        AdapterEntry wanted;
        if (label.isEmpty()) {
            if (named.current() == 0) {
                throw new AdapterRefusal(Kind.CONFLICT, "adapter '" + name + "' has no earlier version");
            }
            wanted = named.versions().get(named.current() - 1);
        } else {
            wanted = named.version(label)
                    .orElseThrow(() -> new AdapterRefusal(
                            Kind.NOT_FOUND, "adapter '" + name + "' has no version '" + label + "'"));
        }
        if (!files.isThere(wanted) && stager.store().bytesOf(wanted.version()) == 0) {
            throw new AdapterRefusal(
                    Kind.CONFLICT,
                    "the files of version '" + wanted.label() + "' of adapter '" + name + "' are gone: "
                            + wanted.directory() + " holds others now");
        }
        registry.point(name, wanted.version());
        shelf.save();
    }

    /** Keeps an adapter in host memory from now on, and brings it there. */
    public synchronized void pin(String name) throws AdapterRefusal, IOException {
        AdapterEntry entry = usable(name);
        HostStore store = stager.store();
        long room = store.bytesMax() / 2 - store.bytesPinned();
        long wanted = Math.max(store.bytesOf(entry.version()), entry.weightBytes());
        if (!store.isPinned(entry.version()) && wanted > room) {
            throw new AdapterRefusal(
                    Kind.NO_ROOM,
                    "pinned adapters may take half of the host memory for adapters; " + Math.max(0, room)
                            + " bytes of it are left, adapter '" + name + "' takes " + wanted);
        }
        registry.pin(name, true);
        stager.pin(entry.version());
        shelf.save();
    }

    public synchronized void unpin(String name) throws AdapterRefusal, IOException {
        AdapterEntry entry = known(name).entry();
        registry.pin(name, false);
        stager.store().unpin(entry.version());
        shelf.save();
    }

    /** Brings an adapter into host memory, where it stays until others need the room. Returns at once. */
    public void prefetch(String name) throws AdapterRefusal {
        stager.stage(usable(name).version());
    }

    /** Lets a name stand for others. */
    public synchronized void alias(AdapterAlias alias) throws AdapterRefusal, IOException {
        checkName(alias.name());
        if (registry.find(alias.name()).isPresent()) {
            throw new AdapterRefusal(Kind.CONFLICT, "'" + alias.name() + "' is the name of an adapter");
        }
        for (AdapterAlias.Share share : alias.shares()) {
            if (shelf.aliases().resolve(share.to(), registry).isEmpty()) {
                throw new AdapterRefusal(Kind.NOT_FOUND, "there is no adapter '" + share.to() + "'");
            }
        }
        shelf.aliases().put(alias);
        shelf.save();
    }

    public synchronized void removeAlias(String name) throws AdapterRefusal, IOException {
        if (!shelf.aliases().remove(name)) {
            throw new AdapterRefusal(Kind.NOT_FOUND, "there is no alias '" + name + "'");
        }
        shelf.save();
    }

    private void checkName(String name) throws AdapterRefusal {
        if (!AdapterFolder.isName(name)) {
            throw new AdapterRefusal(
                    Kind.MALFORMED,
                    "an adapter's name must be 1 to 128 letters, digits, dots, dashes and underscores, beginning with a"
                            + " letter or digit");
        }
        if (name.equals(baseName)) {
            throw new AdapterRefusal(Kind.CONFLICT, "'" + name + "' is the name of the base model");
        }
    }

    private void checkIsNoAlias(String name) throws AdapterRefusal {
        if (shelf.aliases().find(name).isPresent()) {
            throw new AdapterRefusal(Kind.CONFLICT, "'" + name + "' is the name of an alias");
        }
    }

    private NamedAdapter known(String name) throws AdapterRefusal {
        return registry.named(name).orElseThrow(() -> unknown(name));
    }

    private AdapterEntry usable(String name) throws AdapterRefusal {
        AdapterEntry entry = known(name).entry();
        if (!entry.usable()) {
            throw new AdapterRefusal(Kind.INVALID, "adapter '" + name + "' cannot be served", entry.problems());
        }
        return entry;
    }

    private static AdapterRefusal unknown(String name) {
        return new AdapterRefusal(Kind.NOT_FOUND, "there is no adapter '" + name + "'");
    }

    private static AdapterRefusal taken(String name) {
        return new AdapterRefusal(Kind.TAKEN, "there is an adapter '" + name + "' already");
    }

    private static AdapterRefusal invalid(FileRejectedException rejected) {
        return new AdapterRefusal(Kind.INVALID, "the adapter cannot be served", rejected.problems());
    }

    /** Where the server keeps what was sent or fetched tells nobody anything. */
    private static AdapterRefusal invalid(FileRejectedException rejected, Candidate candidate) {
        if (!candidate.isOurs()) {
            return invalid(rejected);
        }
        String folder = candidate.folder().toString();
        List<String> problems = rejected.problems().stream()
                .map(problem -> problem.replace(folder + "/", "").replace(folder + ": ", ""))
                .toList();
        return new AdapterRefusal(Kind.INVALID, "the adapter cannot be served", problems);
    }

    private static void discard(Candidate candidate) throws IOException {
        if (candidate.isOurs()) {
            ContentStore.delete(candidate.folder());
        }
    }
}
