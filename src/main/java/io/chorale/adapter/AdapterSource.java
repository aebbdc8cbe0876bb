package io.chorale.adapter;

import io.chorale.engine.AdapterWeights;

/** Where the weights of a registered adapter come from. */
@FunctionalInterface
public interface AdapterSource {
    /**
     * Reads and verifies the adapter's files; called by loader threads.
     *
     * @throws FileRejectedException naming everything that is wrong
     * @throws FilesChangedException when they are not the files that were registered
     */
    AdapterWeights read(AdapterEntry entry) throws FileRejectedException;

    /** The digest of the adapter's content, empty before it was read. */
    default String digest(AdapterEntry entry) {
        return entry.digest();
    }

    /** Makes sure, after the weights were taken over, that nobody changed the files while they were read. */
    default void confirm(AdapterEntry entry) throws FilesChangedException {}
}
