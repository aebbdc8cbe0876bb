/** The packaged application as a process: started, told to stop, killed, replaced, as a supervisor does it. */
@NullMarked
package io.chorale.process;

import org.jspecify.annotations.NullMarked;
