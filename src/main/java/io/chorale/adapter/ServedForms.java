package io.chorale.adapter;

/**
 * What is served of what adapters may be.
 *
 * @param engine that computes them, for messages
 * @param all whether it computes every {@link AdapterForm}; else none of them
 * @param headBytesMax bytes in memory that an LM head of an adapter's own may have
 */
public record ServedForms(String engine, boolean all, long headBytesMax) {
    /** Everything, of any size. */
    static final ServedForms ALL = new ServedForms("this engine", true, Long.MAX_VALUE);
}
