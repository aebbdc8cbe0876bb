/** Who asks and what they may do: keys, identities, the adapters that they may see, and the log of what administrators did. */
@NullMarked
package io.chorale.access;

import org.jspecify.annotations.NullMarked;
