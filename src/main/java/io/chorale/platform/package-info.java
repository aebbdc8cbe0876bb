/** What depends on how and where the program runs: where its shared libraries lie. Any thread. Imports nothing of ours. */
@NullMarked
package io.chorale.platform;

import org.jspecify.annotations.NullMarked;
