/** Settings and their documentation. */
@NullMarked
package io.chorale.config;

import org.jspecify.annotations.NullMarked;
