/** Tests of what measures: a figure that is counted wrongly is worse than none. */
@NullMarked
package io.chorale.bench;

import org.jspecify.annotations.NullMarked;
