/**
 * The door: accepts or refuses from an immutable snapshot. Pure, any thread. May import core.model, core.memory.
 */
@NullMarked
package io.chorale.core.admission;

import org.jspecify.annotations.NullMarked;
