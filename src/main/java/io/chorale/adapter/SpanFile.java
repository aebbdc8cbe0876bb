package io.chorale.adapter;

/**
 * A file that spans lie in.
 *
 * @param path absolute; empty: the packed image itself
 * @param bytes its size when it was verified
 */
record SpanFile(String path, long bytes) {}
