@NullMarked
package io.chorale.boot;

import org.jspecify.annotations.NullMarked;
