/**
 * HTTP: OpenAI-shaped endpoints, server-sent events, the mapping of errors. The only package that knows Mutiny, JAX-RS
 * and text.
 *
 * <p>Everything of one HTTP request happens on the event loop of its connection, except reading and tokenising a long
 * body, which happens on a worker before anything else begins. May import serving, adapter, text, core.model and
 * core.admission.
 */
@NullMarked
package io.chorale.api;

import org.jspecify.annotations.NullMarked;
