/**
 * What {@code ./chorale bench} measures: the engine alone, one serving-loop step, the whole way through HTTP. Command
 * line only; nothing of the service imports it.
 */
@NullMarked
package io.chorale.bench;

import org.jspecify.annotations.NullMarked;
