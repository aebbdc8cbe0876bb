package io.chorale.engine;

import java.nio.ByteBuffer;

/**
 * An adapter whose files were parsed and verified, ready to be staged.
 *
 * @param name for messages
 * @param weightBytes bytes of its tensors in the files
 * @param mergeable whether it does nothing but add to the linears of the layers
 * @param manifest direct buffer with the adapter manifest of {@code chorale/image_abi.h}; position 0 to limit
 */
public record AdapterWeights(String name, long weightBytes, boolean mergeable, ByteBuffer manifest) {
    /** Of one that only adds. */
    public AdapterWeights(String name, long weightBytes, ByteBuffer manifest) {
        this(name, weightBytes, true, manifest);
    }
}
