/** Sources on other machines, against a server of our own that behaves badly on demand. */
@NullMarked
package io.chorale.adapter.source;

import org.jspecify.annotations.NullMarked;
