/** What an operator sees: health probes and metrics. Any thread. May import serving, adapter and core. */
@NullMarked
package io.chorale.ops;

import org.jspecify.annotations.NullMarked;
