/**
 * The vocabulary: ids, request specifications, events, reasons. Immutable values, any thread. Imports nothing of ours.
 */
@NullMarked
package io.chorale.core.model;

import org.jspecify.annotations.NullMarked;
