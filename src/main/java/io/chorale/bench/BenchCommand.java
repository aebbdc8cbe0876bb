package io.chorale.bench;

import java.nio.file.Path;
import java.util.List;

/** {@code ./chorale bench [engine] [scheduler] [http]}: runs what is named, everything when nothing is. */
public final class BenchCommand {
    private static final List<String> ALL = List.of("engine", "scheduler", "http");

    private BenchCommand() {}

    public static void main(String[] arguments) throws Exception {
        List<String> wanted = arguments.length == 0 ? ALL : List.of(arguments);
        for (String name : wanted) {
            if (!ALL.contains(name)) {
                System.err.println("bench does not know '" + name + "'; it knows " + String.join(", ", ALL));
                System.exit(2);
            }
        }
        History history = new History(
                Path.of("docs", "benchmarks", "history.ndjson"),
                ("./chorale bench " + String.join(" ", arguments)).strip());
        double engineTokensPerSecond = Double.NaN;
        if (wanted.contains("engine")) {
            engineTokensPerSecond = new EngineBench(history).run();
        }
        if (wanted.contains("scheduler")) {
            new LoopStepBench(history).run();
            new SchedulerBench(history).run();
        }
        if (wanted.contains("http")) {
            new HttpBench(history).run(engineTokensPerSecond);
        }
    }
}
