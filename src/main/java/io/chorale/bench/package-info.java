/**
 * What {@code ./chorale bench} measures: the engine alone, one serving-loop step, the whole way through HTTP, and a
 * workload against a server that runs. Command line only; of the service, only its main imports the command.
 */
@NullMarked
package io.chorale.bench;

import org.jspecify.annotations.NullMarked;
