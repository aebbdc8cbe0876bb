@NullMarked
package io.chorale.access;

import org.jspecify.annotations.NullMarked;
