package io.chorale.bench;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/**
 * {@code ./chorale bench [engine] [http] [adapters] [cold-adapters] [streams] [million]}: runs what is named, the first two when
 * nothing is. {@code papers} and {@code policies} write tables into docs/, from simulation alone. {@code ./chorale bench workload
 * ...}: plays a workload against a server that runs. {@code ./chorale bench scheduler} is JMH's and lies with the tests.
 */
public final class BenchCommand {
    private static final List<String> MEASURED = List.of("engine", "http");
    private static final List<String> ALL = List.of(
            "engine", "http", "adapters", "cold-adapters", "million", "streams", "papers", "papers-fit", "policies");

    private BenchCommand() {}

    public static void main(String[] arguments) throws Exception {
        History history = new History(
                Path.of("docs", "benchmarks", "history.ndjson"),
                ("./chorale bench " + String.join(" ", arguments)).strip());
        if (arguments.length > 0 && arguments[0].equals("workload")) {
            workload(history, List.of(arguments).subList(1, arguments.length));
        } else {
            own(history, arguments);
        }
    }

    private static void workload(History history, List<String> arguments) throws Exception {
        try {
            new WorkloadBench(history, WorkloadOptions.of(arguments)).run();
        } catch (IllegalArgumentException | IOException wrong) {
            System.err.println("bench workload: " + wrong.getMessage() + "\n" + WorkloadOptions.USAGE);
            System.exit(2);
        }
    }

    /** What needs no server. */
    private static void own(History history, String[] arguments) throws Exception {
        List<String> wanted = arguments.length == 0 ? MEASURED : List.of(arguments);
        for (String name : wanted) {
            if (!ALL.contains(name)) {
                System.err.println("bench does not know '" + name + "'; it knows " + String.join(", ", ALL)
                        + ", workload and, of ./chorale, scheduler");
                System.exit(2);
            }
        }
        double engineTokensPerSecond = Double.NaN;
        if (wanted.contains("engine")) {
            engineTokensPerSecond = new EngineBench(history).run();
            new LoopStepBench(history).run();
        }
        if (wanted.contains("http")) {
            new HttpBench(history).run(engineTokensPerSecond);
        }
        if (wanted.contains("million")) {
            new MillionBench(history).run();
        }
        if (wanted.contains("streams")) {
            new StreamsBench(history).run();
        }
        if (wanted.contains("papers-fit")) {
            new PaperFit().run();
        }
        if (wanted.contains("papers")) {
            new PaperTables().run();
        }
        if (wanted.contains("policies")) {
            new PolicyTables().run();
        }
        if (wanted.contains("adapters")) {
            new AdaptersBench(history).run();
        }
        if (wanted.contains("adapters") || wanted.contains("cold-adapters")) {
            new ColdAdaptersBench(history).run();
        }
    }
}
