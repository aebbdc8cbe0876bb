/**
 * Requests that nobody sent yet: when they come, whose they are, which adapter they want and how long they are. Drawn from
 * the generators of published papers or read from public traces; plain numbers, so that the simulator and a load generator
 * over HTTP play the same workload. Sees nothing else of ours. Any thread: nothing here changes after construction, apart
 * from random generators, which belong to whoever made them.
 */
@NullMarked
package io.chorale.workload;

import org.jspecify.annotations.NullMarked;
