package io.chorale.adapter;

/**
 * How large an LM head of an adapter's own may be.
 *
 * @param elementBytes of a number of an adapter in the engine's memory
 * @param headBytesMax bytes in memory that such a head may have
 */
public record HeadLimit(int elementBytes, long headBytesMax) {
    /** Of any size. */
    static final HeadLimit UNLIMITED = new HeadLimit(Float.BYTES, Long.MAX_VALUE);
}
