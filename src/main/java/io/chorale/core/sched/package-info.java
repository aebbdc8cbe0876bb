/**
 * Turns state and time into a {@link io.chorale.core.sched.StepPlan}, and an outcome into state and events. Pure: time
 * is an argument, no clocks, threads, I/O, logging or randomness. One writer, the serving thread.
 */
@NullMarked
package io.chorale.core.sched;

import org.jspecify.annotations.NullMarked;
