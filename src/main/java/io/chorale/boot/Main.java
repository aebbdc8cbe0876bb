package io.chorale.boot;

import io.chorale.bench.BenchCommand;
import io.quarkus.runtime.Quarkus;
import io.quarkus.runtime.annotations.QuarkusMain;
import java.util.Arrays;

/**
 * Where the program begins: {@code chorale} serves, {@code chorale bench ...} measures, so that the native executable
 * brings what loads it to a machine that has no Java.
 */
@QuarkusMain
public final class Main {
    /** What application.properties gives Vert.x, which by itself would take as many event loops as there are cores. */
    private static final String EVENT_LOOPS = "machine.event-loops";

    /**
     * Each loop that has a stream is woken in each step, so more of them cost more and serve nobody sooner: one carries
     * fifty thousand events a second.
     */
    private static final int EVENT_LOOPS_MAX = 4;

    private Main() {}

    public static void main(String[] arguments) throws Exception {
        if (arguments.length > 0 && arguments[0].equals("bench")) {
            BenchCommand.main(Arrays.copyOfRange(arguments, 1, arguments.length));
        } else {
            int cores = Runtime.getRuntime().availableProcessors();
            System.setProperty(EVENT_LOOPS, Integer.toString(Math.min(cores, EVENT_LOOPS_MAX)));
            Quarkus.run(arguments);
        }
    }
}
