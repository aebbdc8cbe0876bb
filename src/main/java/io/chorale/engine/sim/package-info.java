/**
 * An engine made of a cost model: deterministic tokens, virtual or wall-clock time, and the strictest reader of plans
 * that we have. Serving thread or tests; {@code stage} and {@code release} any thread.
 */
@NullMarked
package io.chorale.engine.sim;

import org.jspecify.annotations.NullMarked;
