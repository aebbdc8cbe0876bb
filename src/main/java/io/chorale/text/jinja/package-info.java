/**
 * A small interpreter for the Jinja that chat templates are written in.
 *
 * <p>It is held to byte equality with {@code @huggingface/jinja}, and follows it also where that departs from Jinja2:
 * a loop has one scope for all its iterations, {@code break} drops what its iteration has written, macros see the
 * variables of their caller, {@code strip('\n')} strips any white space, booleans print in lower case, lists and
 * mappings print as JSON. What neither is known to do, and comparisons on which the two disagree, is refused with an
 * error that names the construct and its line: a prompt that is silently wrong costs more than one that is not made.
 *
 * <p>Templates come with a model and are not trusted: template size, nesting, steps and characters are bounded.
 * Every string knows which of its characters came from a message ({@link io.chorale.text.jinja.Text}).
 */
@NullMarked
package io.chorale.text.jinja;

import org.jspecify.annotations.NullMarked;
