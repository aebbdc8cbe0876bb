/**
 * Adapters from other machines: what may be fetched, how it is fetched in spite of failures, and how it is known to be the
 * right thing. Threads of the administration; may import adapter.
 */
@NullMarked
package io.chorale.adapter.source;

import org.jspecify.annotations.NullMarked;
