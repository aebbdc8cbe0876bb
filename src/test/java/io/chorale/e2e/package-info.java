/** The whole application as its users meet it: a browser at the page, and the clients that people have. */
@NullMarked
package io.chorale.e2e;

import org.jspecify.annotations.NullMarked;
