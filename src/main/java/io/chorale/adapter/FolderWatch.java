package io.chorale.adapter;

import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/**
 * Keeps the registry true to a folder of adapters that others write to: what is new is registered, what changed is
 * verified to the last byte before its name points to it, what is gone is removed. It looks again and again instead of
 * being told: that works on every file system, and ten thousand folders cost some tens of milliseconds.
 *
 * <p>What changes is left alone until it has been the same for a while, whatever times the files bear: an adapter is two
 * files, and a new one beside an old one may well fit together.
 */
final class FolderWatch {
    private static final Logger LOG = System.getLogger(FolderWatch.class.getName());

    /** Files that have been the same for so long are taken to be whole. */
    static final Duration SETTLED_AFTER = Duration.ofSeconds(1);

    /** What tells, without opening them, whether an adapter's files are others now. */
    private record Stamp(List<String> files) {
        static Stamp of(Path directory) {
            List<String> files = new ArrayList<>();
            for (String name : List.of(PeftAdapter.CONFIG, PeftAdapter.WEIGHTS)) {
                try {
                    BasicFileAttributes file = Files.readAttributes(directory.resolve(name), BasicFileAttributes.class);
                    files.add(file.fileKey() + " " + file.size() + " " + file.lastModifiedTime());
                } catch (IOException absent) {
                    files.add("");
                }
            }
            return new Stamp(files);
        }
    }

    /** What was seen and not acted upon yet. */
    private record Sight(Stamp stamp, long sinceNanos) {}

    private final Path folder;
    private final AdapterFolder files;
    private final AdapterRegistry registry;
    private final Predicate<String> wanted;
    private final Map<Path, Stamp> seen = new HashMap<>();
    private final Map<Path, Sight> unsettled = new HashMap<>();

    /** @param wanted whether an adapter of the folder is to be served: not, when it was taken away by hand */
    FolderWatch(Path folder, AdapterFolder files, AdapterRegistry registry, Predicate<String> wanted) {
        this.folder = folder;
        this.files = files;
        this.registry = registry;
        this.wanted = wanted;
    }

    /** Registers all that is there. */
    synchronized void begin() throws FileRejectedException {
        List<Path> directories = AdapterFolder.subFolders(folder);
        // Before the files are read: what changes meanwhile is found by the next look.
        Map<Path, Stamp> stamps =
                directories.parallelStream().collect(Collectors.toConcurrentMap(path -> path, Stamp::of));
        List<Path> served = directories.stream()
                .filter(directory -> wanted.test(directory.getFileName().toString()))
                .toList();
        files.register(served, registry);
        seen.putAll(stamps);
    }

    /** Looks what has changed since the last look. True: something is still changing, and worth another look soon. */
    synchronized boolean look() {
        List<Path> directories;
        try {
            directories = AdapterFolder.subFolders(folder);
        } catch (FileRejectedException unreadable) {
            // Nothing is known, so nothing is removed: a file system that is gone for a moment must not end the
            // service.
            LOG.log(Level.WARNING, unreadable.getMessage());
            return false;
        }
        for (Path directory : directories) {
            look(directory);
        }
        Set<Path> gone = new HashSet<>(seen.keySet());
        directories.forEach(gone::remove);
        for (Path directory : gone) {
            seen.remove(directory);
            unsettled.remove(directory);
            String name = directory.getFileName().toString();
            if (isOurs(name, directory)) {
                registry.remove(name);
                LOG.log(Level.INFO, "adapter {0} is gone: its folder was removed", name);
            }
        }
        return !unsettled.isEmpty();
    }

    private void look(Path directory) {
        Stamp stamp = Stamp.of(directory);
        if (stamp.equals(seen.get(directory))) {
            unsettled.remove(directory);
            return;
        }
        Sight before = unsettled.get(directory);
        if (before == null || !before.stamp().equals(stamp)) {
            unsettled.put(directory, new Sight(stamp, System.nanoTime()));
            return;
        }
        if (System.nanoTime() - before.sinceNanos() < SETTLED_AFTER.toNanos()) {
            return;
        }
        unsettled.remove(directory);
        seen.put(directory, stamp);
        String name = directory.getFileName().toString();
        if (!wanted.test(name)) {
            return;
        }
        if (registry.find(name).isEmpty()) {
            say(registry.add(files.examine(directory)), "is new");
        } else if (isOurs(name, directory)) {
            replace(name, directory);
        }
    }

    /** Whether a name stands for what lies in this folder: the newest of its versions does, wherever it points now. */
    private boolean isOurs(String name, Path directory) {
        return registry.named(name)
                .map(named -> named.versions().stream()
                        .anyMatch(entry -> entry.directory().equals(directory)))
                .orElse(false);
    }

    private void replace(String name, Path directory) {
        try {
            AdapterEntry found = files.verify(name, directory);
            AdapterEntry before = registry.find(name).orElseThrow();
            if (found.digest().equals(before.digest())) {
                registry.refiled(before.version(), directory, found.fingerprint());
            } else {
                say(registry.add(found), "has a new version");
            }
        } catch (FileRejectedException rejected) {
            say(registry.add(AdapterFolder.broken(name, directory, rejected)), "was replaced");
        }
    }

    private static void say(AdapterEntry entry, String what) {
        if (entry.usable()) {
            LOG.log(Level.INFO, "adapter {0} {1} {2}", entry.name(), what, entry.label());
            entry.warn(LOG);
        } else {
            LOG.log(
                    Level.WARNING,
                    "adapter {0} {1} and cannot be served: {2}",
                    entry.name(),
                    what,
                    String.join("; ", entry.problems()));
        }
    }
}
