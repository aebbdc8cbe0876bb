package io.chorale.adapter;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A name and the versions that it points to or pointed to.
 *
 * @param versions the oldest first; never empty
 * @param current index of the version that new requests get
 * @param pinned whether the current version is to stay in host memory
 */
public record NamedAdapter(String name, List<AdapterEntry> versions, int current, boolean pinned) {
    /** Versions of one name that are remembered, for going back. */
    static final int VERSIONS_MAX = 4;

    public NamedAdapter {
        versions = List.copyOf(versions);
    }

    static NamedAdapter of(AdapterEntry only) {
        return new NamedAdapter(only.name(), List.of(only), 0, false);
    }

    /** The version that new requests get. */
    public AdapterEntry entry() {
        return versions.get(current);
    }

    /** The newest version that is of this content: its digest begins with {@code label}. */
    public Optional<AdapterEntry> version(String label) {
        return versions.reversed().stream()
                .filter(entry -> !label.isEmpty() && entry.digest().startsWith(label))
                .findFirst();
    }

    /** Points to a new version; those too old to be remembered are left out, but never one that it pointed to until now. */
    NamedAdapter replacedBy(AdapterEntry entry) {
        AdapterEntry before = entry();
        List<AdapterEntry> kept = new ArrayList<>(versions);
        while (kept.size() >= VERSIONS_MAX) {
            kept.remove(kept.getFirst().equals(before) ? 1 : 0);
        }
        kept.add(entry);
        return new NamedAdapter(name, kept, kept.size() - 1, pinned);
    }

    /** Where a version is among them; -1 where it is not. */
    int indexOf(int version) {
        for (int i = 0; i < versions.size(); i++) {
            if (versions.get(i).version() == version) {
                return i;
            }
        }
        return -1;
    }

    NamedAdapter pinned(boolean wanted) {
        return new NamedAdapter(name, versions, current, wanted);
    }

    /** The same with one version's facts renewed. */
    NamedAdapter with(AdapterEntry renewed) {
        List<AdapterEntry> changed = new ArrayList<>(versions);
        changed.replaceAll(entry -> entry.version() == renewed.version() ? renewed : entry);
        return new NamedAdapter(name, changed, current, pinned);
    }
}
