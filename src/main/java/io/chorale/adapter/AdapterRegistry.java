package io.chorale.adapter;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.IntFunction;

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

    /** Registers new versions, each made for the number it gets, and points their names to them. */
    public synchronized List<AdapterEntry> addAll(List<IntFunction<AdapterEntry>> made) {
        List<AdapterEntry> byVersion = new ArrayList<>(snapshot.byVersion);
        TreeMap<String, AdapterEntry> byName = new TreeMap<>(snapshot.byName);
        for (IntFunction<AdapterEntry> entryOf : made) {
            AdapterEntry entry = entryOf.apply(byVersion.size());
            byVersion.add(entry);
            byName.put(entry.name(), entry);
        }
        int first = snapshot.byVersion.size();
        publish(byVersion, byName);
        return snapshot.byVersion.subList(first, first + made.size());
    }

    /** Makes a name unknown; its versions stay for requests that run on them. Says whether the name was there. */
    public synchronized boolean remove(String name) {
        TreeMap<String, AdapterEntry> byName = new TreeMap<>(snapshot.byName);
        boolean known = byName.remove(name) != null;
        publish(snapshot.byVersion, byName);
        return known;
    }

    private void publish(List<AdapterEntry> byVersion, SortedMap<String, AdapterEntry> byName) {
        snapshot = new Snapshot(List.copyOf(byVersion), new HashMap<>(byName), List.copyOf(byName.values()));
    }
}
