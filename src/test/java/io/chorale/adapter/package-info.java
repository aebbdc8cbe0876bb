/** Files of models and adapters, honest and lying. */
@NullMarked
package io.chorale.adapter;

import org.jspecify.annotations.NullMarked;
