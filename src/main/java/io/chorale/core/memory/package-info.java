/**
 * Who owns which page, and which adapter is resident where. One writer, the serving thread. May import core.model.
 */
@NullMarked
package io.chorale.core.memory;

import org.jspecify.annotations.NullMarked;
