package io.chorale.simulate;

import java.io.IOException;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * A device's calibration as a file of properties: what was measured, in the units in which one measures. Written by {@code
 * ./chorale simulate --print-device NAME}, which is also the way to begin one's own.
 */
final class DeviceFile {
    private static final double MICRO = 1e3;
    private static final double MILLI = 1e6;
    private static final String NO_TILES = "none";

    private final Properties values = new Properties();
    private final Set<String> unread = new TreeSet<>();
    private final Path file;

    private DeviceFile(Path file) throws IOException {
        this.file = file;
        try (Reader reader = Files.newBufferedReader(file, StandardCharsets.UTF_8)) {
            values.load(reader);
        }
        unread.addAll(values.stringPropertyNames());
    }

    /** Throws {@link IllegalArgumentException} with the key when a value is missing, wrong or unknown. */
    static DeviceProfile read(Path file) throws IOException {
        DeviceFile from = new DeviceFile(file);
        String[] points = from.text("step.rows-ms").split(",", -1);
        int[] rows = new int[points.length];
        double[] nanos = new double[points.length];
        for (int i = 0; i < points.length; i++) {
            String[] pair = points[i].split(":", -1);
            if (pair.length != 2) {
                throw from.wrong(
                        "step.rows-ms", points[i], "must be ROWS:MILLISECONDS, with commas between the points");
            }
            rows[i] = (int) from.parse("step.rows-ms", pair[0], 0, 1 << 20);
            nanos[i] = from.parse("step.rows-ms", pair[1], 0, 1e6) * MILLI;
        }
        DeviceCosts costs;
        try {
            costs = new DeviceCosts(
                    from.number("step.floor-ms", 0, 1e6) * MILLI,
                    from.number("step.floor-adapters-ms", 0, 1e6) * MILLI,
                    rows,
                    nanos,
                    from.number("attention.token-ns", 0, 1e9),
                    from.number("attention.pair-ns", 0, 1e9),
                    from.number("adapters.step-us", 0, 1e9) * MICRO,
                    from.number("adapters.each-us", 0, 1e9) * MICRO,
                    from.number("adapters.rank-us", 0, 1e9) * MICRO,
                    from.number("adapters.row-rank-ns", 0, 1e9),
                    from.number("adapters.row-largest-rank-ns", 0, 1e9),
                    from.promptTiles(),
                    from.number("upload.rank-us", 0, 1e9) * MICRO,
                    new HostCosts(
                            from.numberOrZero("host.step-us", 1e9) * MICRO,
                            from.number("host.sequence-us", 0, 1e9) * MICRO,
                            from.numberOrZero("host.sequence-adapter-us", 1e9) * MICRO,
                            from.numberOrZero("upload.each-us", 1e9) * MICRO,
                            from.numberOrZero("host.request-ms", 1e6) * MILLI),
                    from.number("merge.ms", 0, 1e6) * MILLI);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(
                    String.valueOf(e.getMessage()).contains(file.toString())
                            ? e.getMessage()
                            : file + ": " + e.getMessage(),
                    e);
        }
        DeviceProfile profile = new DeviceProfile(
                from.text("name"),
                costs,
                from.whole("pool.pages"),
                from.whole("pool.page-tokens"),
                from.number("pool.pages-per-rank", 1e-6, 1e6),
                from.whole("pool.adapter-slots"),
                from.whole("context-max"),
                from.whole("step-tokens-max"),
                from.whole("sequences-max"),
                from.text("source"));
        if (!from.unread.isEmpty()) {
            throw new IllegalArgumentException(file + ": unknown keys " + String.join(", ", from.unread));
        }
        return profile;
    }

    private String text(String key) {
        String value = values.getProperty(key);
        if (value == null || value.isBlank()) {
            throw new IllegalArgumentException(file + ": " + key + " is missing");
        }
        unread.remove(key);
        return value.strip();
    }

    private int whole(String key) {
        return (int) number(key, 1, Integer.MAX_VALUE);
    }

    private double number(String key, double min, double max) {
        return parse(key, text(key), min, max);
    }

    /** Of a key that files of earlier versions do not have. */
    private double numberOrZero(String key, double max) {
        return values.containsKey(key) ? number(key, 0, max) : 0;
    }

    /** As TILE,LONGEST,RANK,SEQUENCES; files of earlier versions have none. */
    private PromptTiles promptTiles() {
        String key = "adapters.prompt-tiles";
        if (!values.containsKey(key) || text(key).equals(NO_TILES)) {
            unread.remove(key);
            return PromptTiles.NONE;
        }
        String[] parts = text(key).split(",", -1);
        if (parts.length != 4) {
            throw wrong(key, text(key), "must be TILE,LONGEST,RANK,SEQUENCES or " + NO_TILES);
        }
        int[] numbers = new int[parts.length];
        for (int i = 0; i < parts.length; i++) {
            numbers[i] = (int) parse(key, parts[i], 1, 1 << 20);
        }
        return new PromptTiles(numbers[0], numbers[1], numbers[2], numbers[3]);
    }

    private static String text(PromptTiles tiles) {
        return tiles.equals(PromptTiles.NONE)
                ? NO_TILES
                : tiles.rows() + "," + tiles.longestMin() + "," + tiles.rankMin() + "," + tiles.sequencesMin();
    }

    private double parse(String key, String text, double min, double max) {
        double value;
        try {
            value = Double.parseDouble(text.strip());
        } catch (NumberFormatException e) {
            throw wrong(key, text, "must be a number");
        }
        if (!(value >= min && value <= max)) {
            throw wrong(key, text, "must be between " + SvgPlot.number(min) + " and " + SvgPlot.number(max));
        }
        return value;
    }

    private IllegalArgumentException wrong(String key, String value, String allowed) {
        return new IllegalArgumentException(file + ": " + key + " = " + value + " " + allowed);
    }

    static String write(DeviceProfile device) {
        DeviceCosts c = device.costs();
        String points = IntStream.range(0, c.rows().length)
                .mapToObj(i -> c.rows()[i] + ":" + plain(c.rowsNanos()[i] / MILLI))
                .collect(Collectors.joining(","));
        return """
                # What one device with one base model takes for a step of the engine, and what it holds.
                name = %s
                source = %s
                # The host's part of a step, which cannot be faster, and what adapters add to it.
                step.floor-ms = %s
                step.floor-adapters-ms = %s
                # The base model's products for so many rows, without attention: ROWS:MILLISECONDS.
                step.rows-ms = %s
                # Of each token of context that a row of its own reads; of each pair of row and token in a prompt.
                attention.token-ns = %s
                attention.pair-ns = %s
                # Of a step with adapters; of each adapter in it; of each rank of those; of each row times its rank, and times
                # the largest rank in the step.
                adapters.step-us = %s
                adapters.each-us = %s
                adapters.rank-us = %s
                adapters.row-rank-ns = %s
                adapters.row-largest-rank-ns = %s
                # Kernels for prompts that read an adapter once for so many rows: tile; used when the longest sequence has so
                # many rows, the largest rank is at least so large and there are so many sequences.
                adapters.prompt-tiles = %s
                # Of each step, on the host, while the device waits.
                host.step-us = %s
                # Of each sequence of a step, on the host, after the device is done; more for one with an adapter.
                host.sequence-us = %s
                host.sequence-adapter-us = %s
                # Until a request that was sent is in the queue.
                host.request-ms = %s
                # Of each adapter that is uploaded, on the host; of each rank of it, on the device. Of making merged weights.
                upload.each-us = %s
                upload.rank-us = %s
                merge.ms = %s
                pool.pages = %d
                pool.page-tokens = %d
                pool.pages-per-rank = %s
                pool.adapter-slots = %d
                context-max = %d
                step-tokens-max = %d
                sequences-max = %d
                """.formatted(
                        device.name(),
                        device.source(),
                        plain(c.floorNanos() / MILLI),
                        plain(c.floorAdaptersNanos() / MILLI),
                        points,
                        plain(c.contextTokenNanos()),
                        plain(c.pairNanos()),
                        plain(c.adaptersNanos() / MICRO),
                        plain(c.adapterNanos() / MICRO),
                        plain(c.adapterRankNanos() / MICRO),
                        plain(c.rowRankNanos()),
                        plain(c.rowLargestRankNanos()),
                        text(c.promptTiles()),
                        plain(c.host().stepNanos() / MICRO),
                        plain(c.host().sequenceNanos() / MICRO),
                        plain(c.host().sequenceAdapterNanos() / MICRO),
                        plain(c.host().requestNanos() / MILLI),
                        plain(c.host().uploadNanos() / MICRO),
                        plain(c.uploadRankNanos() / MICRO),
                        plain(c.mergeNanos() / MILLI),
                        device.pages(),
                        device.pageTokens(),
                        plain(device.pagesPerRank()),
                        device.slots(),
                        device.contextMax(),
                        device.stepTokensMax(),
                        device.sequencesMax());
    }

    private static String plain(double value) {
        String text = String.format(Locale.ROOT, "%.6f", value);
        return text.replaceAll("0+$", "").replaceAll("\\.$", "");
    }
}
