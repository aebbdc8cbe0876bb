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
    private Main() {}

    public static void main(String[] arguments) throws Exception {
        if (arguments.length > 0 && arguments[0].equals("bench")) {
            BenchCommand.main(Arrays.copyOfRange(arguments, 1, arguments.length));
        } else {
            Quarkus.run(arguments);
        }
    }
}
