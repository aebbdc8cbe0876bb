package io.chorale.boot;

import io.chorale.adapter.AdapterEntry;
import io.chorale.adapter.AdapterRegistry;
import io.chorale.adapter.HostStore;
import io.chorale.ops.AdapterView;
import java.util.List;

/** Registry and host store, as metrics see them. */
record ServedAdapters(AdapterRegistry registry, HostStore store, int residentMax) implements AdapterView {
    @Override
    public String name(int version) {
        return registry.byVersion(version).map(AdapterEntry::name).orElse("");
    }

    @Override
    public int rank(int version) {
        return registry.byVersion(version).map(AdapterEntry::rank).orElse(0);
    }

    @Override
    public List<Integer> staged() {
        return store.staged();
    }

    @Override
    public boolean isPinned(int version) {
        return store.isPinned(version);
    }
}
