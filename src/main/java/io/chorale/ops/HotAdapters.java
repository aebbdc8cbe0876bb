package io.chorale.ops;

import java.util.List;
import java.util.function.Supplier;

/**
 * The pinned adapters that a server which starts is not ready without. Once they all have been in host memory, one that is
 * pinned or replaced later makes nobody unready.
 */
public final class HotAdapters {
    private final Supplier<List<String>> cold;
    private volatile boolean warm;

    /** @param cold names of pinned adapters that can be served and are not in host memory now */
    public HotAdapters(Supplier<List<String>> cold) {
        this.cold = cold;
    }

    /** Those that are still awaited. */
    public List<String> awaited() {
        if (warm) {
            return List.of();
        }
        List<String> names = cold.get();
        warm = names.isEmpty();
        return names;
    }
}
