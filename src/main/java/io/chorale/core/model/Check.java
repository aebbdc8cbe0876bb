package io.chorale.core.model;

import java.util.function.Supplier;

/** Checks that are always on: of arguments, which are the caller's fault, and of state, which is ours. */
public final class Check {
    private Check() {}

    public static void argument(boolean holds, Supplier<String> message) {
        if (!holds) {
            throw new IllegalArgumentException(message.get());
        }
    }

    /** An invariant: when it does not hold the service is broken and must not go on. */
    public static void state(boolean holds, Supplier<String> message) {
        if (!holds) {
            throw new IllegalStateException(message.get());
        }
    }
}
