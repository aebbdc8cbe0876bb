/**
 * The decisions that the scheduler delegates, as small interfaces with the plain choices. Pure functions of what they
 * are shown; called by the serving thread. May import core.model and core.memory.
 */
@NullMarked
package io.chorale.core.policy;

import org.jspecify.annotations.NullMarked;
