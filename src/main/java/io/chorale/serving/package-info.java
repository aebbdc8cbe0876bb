/**
 * The serving thread and everything around it: the loop that plans, executes and commits steps, the inbox through which
 * it hears of requests and adapters, the tickets and the fan-out through which clients hear of their answers, the door,
 * and the life cycle.
 *
 * <p>Owner of all mutable state behind the loop: the serving thread. Other threads reach it through the {@link
 * io.chorale.serving.Inbox} and through flags on tickets; they see it through events and the published snapshot. May
 * import engine, adapter and core.
 */
@NullMarked
package io.chorale.serving;

import org.jspecify.annotations.NullMarked;
