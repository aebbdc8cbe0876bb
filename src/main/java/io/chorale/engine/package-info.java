/**
 * The port to whatever computes: one plan in, one outcome back. The serving thread calls {@code begin} and
 * {@code await}; loader threads call {@code stage} and {@code release}. May import core.
 */
@NullMarked
package io.chorale.engine;

import org.jspecify.annotations.NullMarked;
