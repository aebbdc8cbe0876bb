/** What tests of several packages share. */
@NullMarked
package io.chorale.testing;

import org.jspecify.annotations.NullMarked;
