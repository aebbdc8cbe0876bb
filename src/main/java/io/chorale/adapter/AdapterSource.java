package io.chorale.adapter;

import io.chorale.engine.AdapterWeights;

/** Where the weights of a registered adapter come from. */
@FunctionalInterface
public interface AdapterSource {
    /** Reads and verifies the adapter's files again; called by loader threads. */
    AdapterWeights read(AdapterEntry entry) throws FileRejectedException;
}
