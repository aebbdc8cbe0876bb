package io.chorale.access;

import java.util.List;

/**
 * The adapters and aliases that somebody may use. For others it is as if they did not exist: they are in no list, and asking
 * for them by name says what asking for a name that nobody has says. The base model is everybody's.
 */
public sealed interface AdapterScope {
    AdapterScope ALL = new Everything();

    boolean allows(String name);

    /** Whatever is served. */
    record Everything() implements AdapterScope {
        @Override
        public boolean allows(String name) {
            return true;
        }
    }

    /**
     * Some.
     *
     * @param names exact, or the beginning of names with a final star
     */
    record Only(List<String> names) implements AdapterScope {
        public Only {
            names = List.copyOf(names);
        }

        @Override
        public boolean allows(String name) {
            return names.stream().anyMatch(allowed -> matches(allowed, name));
        }

        private static boolean matches(String allowed, String name) {
            return allowed.endsWith("*")
                    ? name.startsWith(allowed.substring(0, allowed.length() - 1))
                    : name.equals(allowed);
        }
    }
}
