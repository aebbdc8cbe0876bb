package io.chorale.engine;

import java.nio.ByteBuffer;

/**
 * An adapter whose files were parsed and verified, ready to be staged.
 *
 * @param name for messages
 * @param weightBytes bytes of its tensors in the files
 * @param manifest direct buffer with the adapter manifest of {@code chorale/image_abi.h}; position 0 to limit
 */
public record AdapterWeights(String name, long weightBytes, ByteBuffer manifest) {}
