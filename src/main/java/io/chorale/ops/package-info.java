/** What an operator sees: health probes and metrics. Any thread. May import serving and core. */
@NullMarked
package io.chorale.ops;

import org.jspecify.annotations.NullMarked;
