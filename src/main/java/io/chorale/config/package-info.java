/**
 * The settings, typed: one interface a group, read once at start. Their Javadoc is the reference; {@code docs/CONFIG.md}
 * is generated from it. A key {@code chorale.model.dir} is also the environment variable {@code CHORALE_MODEL_DIR}. May
 * import core.
 */
@NullMarked
package io.chorale.config;

import org.jspecify.annotations.NullMarked;
