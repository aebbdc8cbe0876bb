package io.chorale.adapter;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;

/**
 * Which adapters exist. A name points to a version, a version never changes: whoever holds one keeps what it was. Readers
 * see an immutable snapshot; writers, rare, replace it.
 */
public final class AdapterRegistry {
    /** @param byVersion every version there ever was, index = version */
    private record Snapshot(List<AdapterEntry> byVersion, Map<String, AdapterEntry> byName, List<AdapterEntry> list) {}

    private volatile Snapshot snapshot = new Snapshot(List.of(), Map.of(), List.of());

    /** The version that a name points to now, usable or not. */
    public Optional<AdapterEntry> find(String name) {
        return Optional.ofNullable(snapshot.byName.get(name));
    }

    public AdapterEntry byVersion(int version) {
        return snapshot.byVersion.get(version);
    }

    /** The current version of every adapter, in the order of names. */
    public List<AdapterEntry> list() {
        return snapshot.list;
    }

    /** Registers a new version, made by {@code entryOf} for the number it gets, and points its name to it. */
    public synchronized AdapterEntry add(IntFunction<AdapterEntry> entryOf) {
        Snapshot old = snapshot;
        AdapterEntry entry = entryOf.apply(old.byVersion.size());
        List<AdapterEntry> byVersion = new ArrayList<>(old.byVersion);
        byVersion.add(entry);
        publish(byVersion, old.byName, entry.name(), entry);
        return entry;
    }

    /** Makes a name unknown; its versions stay for requests that run on them. Says whether the name was there. */
    public synchronized boolean remove(String name) {
        Snapshot old = snapshot;
        if (!old.byName.containsKey(name)) {
            return false;
        }
        publish(old.byVersion, old.byName, name, null);
        return true;
    }

    private void publish(
            List<AdapterEntry> byVersion, Map<String, AdapterEntry> oldNames, String name, @Nullable AdapterEntry to) {
        TreeMap<String, AdapterEntry> sorted = new TreeMap<>(oldNames);
        if (to == null) {
            sorted.remove(name);
        } else {
            sorted.put(name, to);
        }
        snapshot = new Snapshot(List.copyOf(byVersion), new HashMap<>(sorted), List.copyOf(sorted.values()));
    }
}
