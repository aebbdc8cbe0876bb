/** Probes, metrics and their documentation. */
@NullMarked
package io.chorale.ops;

import org.jspecify.annotations.NullMarked;
