package io.chorale.core.memory;

/**
 * Whether computed pages are kept for whoever comes with the same beginning.
 *
 * @param seed of a hash: one that nobody knows keeps anybody from choosing tokens that all fall into one bucket
 */
public record PrefixCaching(boolean on, long seed) {
    public static final PrefixCaching OFF = new PrefixCaching(false, 0);
}
