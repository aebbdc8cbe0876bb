package io.chorale.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Locale;

/**
 * The record of every measured figure: one JSON object a line in {@code docs/benchmarks/history.ndjson}, with the
 * command, the commit and the machine that it came from.
 */
final class History {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Path file;
    private final String command;

    History(Path file, String command) {
        this.file = file;
        this.command = command;
    }

    /**
     * Appends the figures of several runs of one benchmark and prints their median.
     *
     * @param floor the best that the machine or the target allows, in the same unit; NaN where there is none
     */
    void record(String benchmark, String unit, double[] figures, double floor, String settings) throws IOException {
        double[] sorted = figures.clone();
        java.util.Arrays.sort(sorted);
        double median = sorted[sorted.length / 2];
        ObjectNode line = JSON.createObjectNode();
        line.put("date", Instant.now().truncatedTo(ChronoUnit.SECONDS).toString());
        line.put("commit", output(List.of("git", "describe", "--always", "--dirty", "--abbrev=12")));
        line.put("machine", machine());
        line.put("command", command);
        line.put("benchmark", benchmark);
        line.put("settings", settings);
        line.put("unit", unit);
        line.put("runs", sorted.length);
        line.put("min", round(sorted[0]));
        line.put("median", round(median));
        line.put("max", round(sorted[sorted.length - 1]));
        if (!Double.isNaN(floor)) {
            line.put("target", round(floor));
        }
        Files.createDirectories(file.toAbsolutePath().getParent());
        Files.writeString(
                file,
                JSON.writeValueAsString(line) + "\n",
                StandardCharsets.UTF_8,
                StandardOpenOption.CREATE,
                StandardOpenOption.APPEND);
        System.out.printf(
                Locale.ROOT,
                "%-28s %12.1f %-10s (min %.1f, max %.1f of %d runs%s)  %s%n",
                benchmark,
                median,
                unit,
                sorted[0],
                sorted[sorted.length - 1],
                sorted.length,
                Double.isNaN(floor) ? "" : String.format(Locale.ROOT, "; target %.1f", floor),
                settings);
    }

    private static double round(double figure) {
        return Math.round(figure * 1000) / 1000.0;
    }

    private static String machine() throws IOException {
        String model = "unknown processor";
        Path cpuinfo = Path.of("/proc/cpuinfo");
        if (Files.isReadable(cpuinfo)) {
            model = Files.readAllLines(cpuinfo).stream()
                    .filter(line -> line.startsWith("model name"))
                    .map(line -> line.substring(line.indexOf(':') + 1).strip())
                    .findFirst()
                    .orElse(model);
        }
        return Runtime.getRuntime().availableProcessors() + " cores, " + model;
    }

    private static String output(List<String> arguments) throws IOException {
        Process process =
                new ProcessBuilder(arguments).redirectErrorStream(true).start();
        try (var reader = process.inputReader(StandardCharsets.UTF_8)) {
            String first = reader.readLine();
            return first == null ? "unknown" : first.strip();
        }
    }
}
