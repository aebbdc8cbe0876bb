/** Wiring: builds registry, engine, scheduler and loop in this order, and stops them in reverse. Sees all packages. */
@NullMarked
package io.chorale.boot;

import org.jspecify.annotations.NullMarked;
