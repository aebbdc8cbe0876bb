package io.chorale.adapter;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentSkipListMap;

/** All aliases. Any thread reads; the administration writes. */
public final class AdapterAliases {
    private final Map<String, AdapterAlias> byName = new ConcurrentSkipListMap<>();

    public Optional<AdapterAlias> find(String name) {
        return Optional.ofNullable(byName.get(name));
    }

    public List<AdapterAlias> list() {
        return List.copyOf(byName.values());
    }

    /** The version behind an adapter's name or {@code name@version}. */
    public Optional<AdapterEntry> resolve(String target, AdapterRegistry registry) {
        int at = target.indexOf('@');
        return at < 0
                ? registry.find(target)
                : registry.named(target.substring(0, at)).flatMap(named -> named.version(target.substring(at + 1)));
    }

    void put(AdapterAlias alias) {
        byName.put(alias.name(), alias);
    }

    boolean remove(String name) {
        return byName.remove(name) != null;
    }
}
