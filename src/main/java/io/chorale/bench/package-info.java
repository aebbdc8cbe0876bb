/** Measurements that {@code ./chorale bench} runs; nothing here is used by the server. */
@NullMarked
package io.chorale.bench;

import org.jspecify.annotations.NullMarked;
