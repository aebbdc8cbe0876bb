package io.chorale.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;

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
        line.put("commit", commit());
        line.put("machine", machine());
        line.put("command", command);
        line.put("benchmark", benchmark);
        line.put("settings", settings);
        line.put("unit", unit);
        line.put("runs", sorted.length);
        line.put("min", round(sorted[0]));
        line.put("median", round(median));
        line.put("p99", round(sorted[(int) (0.99 * (sorted.length - 1))]));
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
                "%-28s %12.1f %-10s (min %.1f, p99 %.1f, max %.1f of %d runs%s)  %s%n",
                benchmark,
                median,
                unit,
                sorted[0],
                sorted[(int) (0.99 * (sorted.length - 1))],
                sorted[sorted.length - 1],
                sorted.length,
                Double.isNaN(floor) ? "" : String.format(Locale.ROOT, "; target %.1f", floor),
                settings);
    }

    private static double round(double figure) {
        return Math.round(figure * 1000) / 1000.0;
    }

    private static String machine() throws IOException {
        String processor = Runtime.getRuntime().availableProcessors() + " cores, "
                + field(Path.of("/proc/cpuinfo"), "model name").orElse("unknown processor");
        List<String> gpus = new ArrayList<>();
        Path drivers = Path.of("/proc/driver/nvidia/gpus");
        if (Files.isDirectory(drivers)) {
            try (DirectoryStream<Path> each = Files.newDirectoryStream(drivers)) {
                for (Path gpu : each) {
                    gpus.add(field(gpu.resolve("information"), "Model").orElse("unknown GPU"));
                }
            }
        }
        return gpus.isEmpty() ? processor : processor + ", " + String.join(", ", gpus);
    }

    /** The value of the first line "name : value". */
    private static Optional<String> field(Path file, String name) throws IOException {
        if (!Files.isReadable(file)) {
            return Optional.empty();
        }
        try (Stream<String> lines = Files.lines(file)) {
            return lines.filter(line -> line.startsWith(name))
                    .map(line -> line.substring(line.indexOf(':') + 1).strip())
                    .findFirst();
        }
    }

    /** Of the working tree; of a bundle, which has none, what the file says that was packed with it. */
    private static String commit() throws IOException {
        Path packed = Path.of("commit");
        if (Files.isRegularFile(packed)) {
            return Files.readString(packed).strip();
        }
        try {
            Process git = new ProcessBuilder("git", "describe", "--always", "--dirty", "--abbrev=12")
                    .redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start();
            try (var reader = git.inputReader(StandardCharsets.UTF_8)) {
                String first = reader.readLine();
                return first == null ? "unknown" : first.strip();
            }
        } catch (IOException noGit) {
            return "unknown";
        }
    }
}
