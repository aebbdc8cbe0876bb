package io.chorale.adapter;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/**
 * Which adapters exist. A name points to a version, a version never changes what it serves: whoever holds one keeps what
 * it was. Any thread reads without waiting; writers, rare, take turns. What a reader costs does not depend on how many
 * there are.
 *
 * <p>A version that no name remembers any more is known for a while: a request may have looked its name up just before.
 */
public final class AdapterRegistry {
    /** Told of versions that lost their name. Called by the thread that changed it. */
    public interface Listener {
        /** New requests get another version now. */
        void superseded(AdapterEntry entry);

        /** No name remembers it: what was kept for going back to it may go. */
        void forgotten(AdapterEntry entry);
    }

    private static final int RETIRED_MAX = 4_096;

    private final ConcurrentSkipListMap<String, NamedAdapter> names = new ConcurrentSkipListMap<>();
    private final Map<Integer, AdapterEntry> byVersion = new ConcurrentHashMap<>();
    private final List<Listener> listeners = new ArrayList<>();
    private int nextVersion;

    /** Versions that no name remembers, the longest so first. */
    private final Map<Integer, AdapterEntry> retired = new LinkedHashMap<>() {
        @Override
        protected boolean removeEldestEntry(Map.Entry<Integer, AdapterEntry> eldest) {
            if (size() <= RETIRED_MAX) {
                return false;
            }
            byVersion.remove(eldest.getKey());
            return true;
        }
    };

    /** Before anything is registered. */
    public void listen(Listener listener) {
        listeners.add(listener);
    }

    /** The version that a name points to now, usable or not. */
    public Optional<AdapterEntry> find(String name) {
        return named(name).map(NamedAdapter::entry);
    }

    public Optional<NamedAdapter> named(String name) {
        return Optional.ofNullable(names.get(name));
    }

    /** A version that a name points to, pointed to, or did a while ago. */
    public Optional<AdapterEntry> byVersion(int version) {
        return Optional.ofNullable(byVersion.get(version));
    }

    /** Whether its name points to it now. */
    boolean isCurrent(int version) {
        return byVersion(version)
                .flatMap(entry -> find(entry.name()))
                .map(current -> current.version() == version)
                .orElse(false);
    }

    /** The current version of every adapter, in the order of names. */
    public List<AdapterEntry> list() {
        return names.values().stream().map(NamedAdapter::entry).toList();
    }

    /** Every name with its versions, in the order of names. */
    public List<NamedAdapter> names() {
        return List.copyOf(names.values());
    }

    /** Whether a version of some name is of this content. Waits for a change under way, so that who listens to it knows of it. */
    synchronized boolean hasContent(String digest) {
        return names.values().stream()
                .flatMap(named -> named.versions().stream())
                .anyMatch(entry -> entry.digest().equals(digest));
    }

    /** The names after one, in their order, that are wanted; from the first on where it is empty. */
    public List<NamedAdapter> namesAfter(String name, Predicate<String> wanted, int countMax) {
        return names.tailMap(name, false).values().stream()
                .filter(named -> wanted.test(named.name()))
                .limit(countMax)
                .toList();
    }

    /** How many names are wanted. */
    public int size(Predicate<String> wanted) {
        return (int) names.keySet().stream().filter(wanted).count();
    }

    /** Registers new versions and points their names to them; what comes back is numbered. */
    public synchronized List<AdapterEntry> addAll(List<AdapterEntry> found) {
        return found.stream().map(this::add).toList();
    }

    /** Registers one new version and points its name to it; what comes back is numbered. */
    public synchronized AdapterEntry add(AdapterEntry found) {
        AdapterEntry entry = found.numbered(nextVersion++);
        byVersion.put(entry.version(), entry);
        NamedAdapter before = names.get(entry.name());
        put(before, before == null ? NamedAdapter.of(entry) : before.replacedBy(entry));
        return entry;
    }

    /** Brings a name back as it was: its versions, the oldest first, and the one that it points to. */
    synchronized void restore(String name, List<AdapterEntry> versions, int current, boolean pinned) {
        List<AdapterEntry> numbered = new ArrayList<>();
        for (AdapterEntry entry : versions) {
            // One that its folder has was registered already and has its number.
            AdapterEntry known = entry.isRegistered() ? entry : entry.numbered(nextVersion++);
            byVersion.put(known.version(), known);
            numbered.add(known);
        }
        names.put(name, new NamedAdapter(name, numbered, current, pinned));
    }

    /** Points a name to one of its versions. False: it is not one of them. */
    public synchronized boolean point(String name, int version) {
        NamedAdapter before = names.get(name);
        if (before == null || before.indexOf(version) < 0) {
            return false;
        }
        put(before, new NamedAdapter(name, before.versions(), before.indexOf(version), before.pinned()));
        return true;
    }

    public synchronized void pin(String name, boolean wanted) {
        names.computeIfPresent(name, (same, named) -> named.pinned(wanted));
    }

    /** The content of a version was read and is what this digest says. */
    public void verified(int version, String digest) {
        renew(version, entry -> entry.digest().equals(digest) ? entry : entry.verified(digest));
    }

    /** The files of a version were touched or moved and hold what they held. */
    void refiled(int version, Path directory, String fingerprint) {
        renew(version, entry -> entry.refiled(directory, fingerprint));
    }

    /** The content of a version was read and something in it is wrong. */
    public void refused(int version, List<String> problems) {
        renew(version, entry -> entry.refused(problems));
    }

    private synchronized void renew(int version, UnaryOperator<AdapterEntry> renewal) {
        AdapterEntry before = byVersion.get(version);
        if (before == null) {
            return;
        }
        AdapterEntry after = renewal.apply(before);
        if (!after.equals(before)) {
            byVersion.put(version, after);
            names.computeIfPresent(after.name(), (same, named) -> named.with(after));
        }
    }

    /** Makes a name unknown; its versions stay for requests that run on them. Says what it was, where it was known. */
    public synchronized Optional<NamedAdapter> remove(String name) {
        NamedAdapter known = names.remove(name);
        if (known != null) {
            tellSuperseded(known.entry());
            known.versions().forEach(this::forget);
        }
        return Optional.ofNullable(known);
    }

    private void put(@Nullable NamedAdapter before, NamedAdapter after) {
        names.put(after.name(), after);
        if (before == null) {
            return;
        }
        if (before.entry().version() != after.entry().version()) {
            tellSuperseded(before.entry());
        }
        for (AdapterEntry entry : before.versions()) {
            if (after.indexOf(entry.version()) < 0) {
                forget(entry);
            }
        }
    }

    private void tellSuperseded(AdapterEntry entry) {
        listeners.forEach(listener -> listener.superseded(entry));
    }

    private void forget(AdapterEntry entry) {
        retired.put(entry.version(), entry);
        listeners.forEach(listener -> listener.forgotten(entry));
    }
}
