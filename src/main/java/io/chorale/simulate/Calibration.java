package io.chorale.simulate;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.chorale.core.policy.StepCostModel.Linear;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;

/** What steps cost as a server has learned it, in the JSON in which it keeps it ({@code chorale.scheduler.cost-profile}). */
public final class Calibration {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int FILE_BYTES_MAX = 1 << 16;
    /** A quarter of an hour: no figure of a step is as large. */
    private static final double NANOS_MAX = 1e12;
    /** In a simulation time must go on from step to step. */
    private static final double BASE_NANOS_MIN = 1_000;

    private static final int ROWS_MAX = 1 << 20;

    private Calibration() {}

    /** @throws IllegalArgumentException with what is wrong: a figure that is missing, unknown, no number or out of range */
    public static Linear read(JsonNode profile) {
        Linear costs = new Linear(
                (long) figure(profile, "baseNanos"),
                (long) figure(profile, "rowNanos"),
                figure(profile, "contextTokenNanos"),
                (long) figure(profile, "adapterNanos"),
                (long) figure(profile, "adapterPageNanos"),
                (long) figure(profile, "adapterRowNanos"),
                (long) figure(profile, "loadPageNanos"),
                (long) figure(profile, "mergeNanos"));
        ObjectNode known = json(costs);
        profile.fieldNames().forEachRemaining(name -> {
            if (!known.has(name)) {
                throw new IllegalArgumentException("a calibration has no figure '" + shortened(name) + "'; it has "
                        + String.join(
                                ", ",
                                known.properties().stream()
                                        .map(Map.Entry::getKey)
                                        .toList()));
            }
        });
        return costs;
    }

    /** @throws IllegalArgumentException as above, or where the file is no JSON or far too large for a calibration */
    public static Linear read(Path file) throws IOException {
        if (Files.size(file) > FILE_BYTES_MAX) {
            throw new IllegalArgumentException(file + ": is too large for a calibration");
        }
        try {
            return read(JSON.readTree(file.toFile()));
        } catch (JsonProcessingException broken) {
            throw new IllegalArgumentException(file + ": is not JSON: " + broken.getOriginalMessage(), broken);
        } catch (IllegalArgumentException wrong) {
            throw new IllegalArgumentException(file + ": " + wrong.getMessage(), wrong);
        }
    }

    private static double figure(JsonNode profile, String name) {
        JsonNode value = profile.get(name);
        if (value == null || value.isNull()) {
            throw new IllegalArgumentException("'" + name + "' is missing");
        }
        double nanos = value.doubleValue();
        if (!value.isNumber() || !(nanos >= 0 && nanos <= NANOS_MAX)) {
            throw new IllegalArgumentException("'" + name + "' must be a number of nanoseconds between 0 and 1e12, not "
                    + shortened(value.toString()));
        }
        return nanos;
    }

    private static String shortened(String text) {
        return text.length() <= 40 ? text : text.substring(0, 40) + "...";
    }

    public static ObjectNode json(Linear costs) {
        return JSON.createObjectNode()
                .put("baseNanos", costs.baseNanos())
                .put("rowNanos", costs.rowNanos())
                .put("contextTokenNanos", costs.contextTokenNanos())
                .put("adapterNanos", costs.adapterNanos())
                .put("adapterPageNanos", costs.adapterPageNanos())
                .put("adapterRowNanos", costs.adapterRowNanos())
                .put("loadPageNanos", costs.loadPageNanos())
                .put("mergeNanos", costs.mergeNanos());
    }

    /**
     * A device that holds what {@code place} holds and takes what was learned. A server counts rows with an adapter and not
     * their ranks, so the price of such a row is taken for that of one with the mean rank.
     *
     * @param ranks of the adapters that are asked about, dealt to them in turn
     */
    public static DeviceProfile device(String name, DeviceProfile place, Linear learned, int[] ranks) {
        double rankMean = Arrays.stream(ranks).average().orElse(1);
        double base = Math.max(BASE_NANOS_MIN, (double) learned.baseNanos());
        DeviceCosts costs = new DeviceCosts(
                0,
                0,
                new int[] {0, ROWS_MAX},
                new double[] {base, base + (double) ROWS_MAX * (double) learned.rowNanos()},
                learned.contextTokenNanos(),
                0,
                0,
                learned.adapterNanos(),
                learned.adapterPageNanos() * place.pagesPerRank(),
                learned.adapterRowNanos() / rankMean,
                0,
                PromptTiles.NONE,
                learned.loadPageNanos() * place.pagesPerRank(),
                HostCosts.NONE,
                learned.mergeNanos());
        return new DeviceProfile(
                name,
                costs,
                place.pages(),
                place.pageTokens(),
                place.pagesPerRank(),
                place.slots(),
                place.contextMax(),
                place.stepTokensMax(),
                place.sequencesMax(),
                "a calibration; what it holds: " + place.source());
    }
}
