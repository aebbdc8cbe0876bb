package io.chorale.adapter;

/**
 * How often and when a version was asked for.
 *
 * @param requests since the server started
 * @param lastNanos of the last one, on the clock of {@link System#nanoTime}; meaningless where there was none
 */
public record AdapterUse(long requests, long lastNanos) {
    static final AdapterUse NONE = new AdapterUse(0, 0);
}
