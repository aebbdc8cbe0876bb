/** The engine against answers computed elsewhere: stored logits, an oracle in double precision, and itself. */
@NullMarked
package io.chorale.parity;

import org.jspecify.annotations.NullMarked;
