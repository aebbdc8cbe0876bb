package io.chorale.adapter;

/**
 * What is served of what adapters may be.
 *
 * @param elementBytes of a number of an adapter in the engine's memory
 * @param headBytesMax bytes in memory that an LM head of an adapter's own may have
 */
public record ServedForms(int elementBytes, long headBytesMax) {
    /** Everything, of any size. */
    static final ServedForms ALL = new ServedForms(Float.BYTES, Long.MAX_VALUE);
}
