/**
 * Text on its way to the model and back: tokenizer, chat template, incremental detokenisation, stop strings.
 *
 * <p>{@link io.chorale.text.TextModel} bundles what a model directory holds and is shared by all threads, as are the
 * tokenizer and the template; {@link io.chorale.text.IncrementalDetokenizer} and {@link io.chorale.text.StopMatcher}
 * belong to one stream and its thread.
 */
@NullMarked
package io.chorale.text;

import org.jspecify.annotations.NullMarked;
