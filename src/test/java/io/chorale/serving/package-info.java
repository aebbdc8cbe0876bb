/** The serving thread's parts, stepped by hand on a clock that stands still until it is told. */
@NullMarked
package io.chorale.serving;

import org.jspecify.annotations.NullMarked;
