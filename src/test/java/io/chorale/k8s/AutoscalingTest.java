package io.chorale.k8s;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The proof of the autoscaling: what a server said of itself in two recorded overloads goes into Prometheus, the rules of the
 * manifests make the signals, and the autoscalers of the manifests decide. Replicas must rise before clients notice, and
 * fall when the overload is over.
 */
class AutoscalingTest {
    private static final double ATTAINMENT_MIN = 0.99;
    private static final Path FOLDER = Path.of("target/k8s/autoscaling");

    /** Seconds into a recording when the requests fall back to less than one replica can do: record.mjs. */
    private static final Map<String, Integer> OVER_AT = Map.of("places", 391, "pages", 331);

    @ParameterizedTest
    @ValueSource(strings = {"places", "pages"})
    void shouldAddReplicasBeforeClientsNoticeAndTakeThemAwayAfter(String name) throws Exception {
        Recording recording = Recording.read(name);
        int over = OVER_AT.getOrDefault(name, 0);
        try (Prometheus prometheus = Prometheus.replay(recording, rules(), FOLDER.resolve(name))) {
            TreeMap<Integer, Double> attainment =
                    prometheus.query("namespace:chorale_ttft_attainment:ratio_rate1m", recording.seconds(), 5);
            int missed = attainment.entrySet().stream()
                    .filter(at -> at.getValue() < ATTAINMENT_MIN)
                    .mapToInt(Map.Entry::getKey)
                    .findFirst()
                    .orElseThrow(() -> new AssertionError("one replica alone was enough: that is no overload"));
            for (Autoscaler autoscaler : autoscalers()) {
                TreeMap<Integer, Integer> replicas = replay(autoscaler, prometheus, recording);
                String seen = name + ": attainment under 99 % at " + missed + " s, replicas " + changes(replicas);
                int rise = replicas.entrySet().stream()
                        .filter(at -> at.getValue() > 1)
                        .mapToInt(Map.Entry::getKey)
                        .findFirst()
                        .orElseThrow(() -> new AssertionError(seen));
                // A replica needs time to start: on a node that has the image, half a minute is much.
                assertTrue(rise + 30 <= missed, seen);
                int most = replicas.values().stream()
                        .mapToInt(Integer::intValue)
                        .max()
                        .orElseThrow();
                assertTrue(most >= 3, seen);
                assertTrue(replicas.headMap(over).lastEntry().getValue() == most, seen);
                // Not at once, lest the next wave finds them gone.
                assertEquals(most, replicas.floorEntry(over + 290).getValue(), seen);
                assertEquals(1, replicas.lastEntry().getValue(), seen);
            }
        }
    }

    /** Both autoscalers want the same, so that choosing one is a matter of what a cluster has. */
    @Test
    void shouldScaleAlikeWithEitherAutoscaler() throws IOException {
        List<Autoscaler> both = autoscalers();
        assertEquals(both.getFirst().signals, both.getLast().signals);
        assertEquals(
                Manifests.ofOverlay("gpu-hpa").only("HorizontalPodAutoscaler").at("/spec/behavior"),
                Manifests.ofOverlay("gpu-keda")
                        .only("ScaledObject")
                        .at("/spec/advanced/horizontalPodAutoscalerConfig/behavior"));
    }

    private static List<Autoscaler> autoscalers() throws IOException {
        return List.of(
                Autoscaler.ofHorizontalPodAutoscaler(
                        Manifests.ofOverlay("gpu-hpa").only("HorizontalPodAutoscaler")),
                Autoscaler.ofScaledObject(Manifests.ofOverlay("gpu-keda").only("ScaledObject")));
    }

    private static TreeMap<Integer, Integer> replay(Autoscaler autoscaler, Prometheus prometheus, Recording recording)
            throws Exception {
        List<TreeMap<Integer, Double>> totals = new ArrayList<>();
        for (Autoscaler.Signal signal : autoscaler.signals) {
            totals.add(prometheus.query(signal.query(), recording.seconds(), Autoscaler.SYNC_SECONDS));
        }
        TreeMap<Integer, Integer> replicas = new TreeMap<>();
        for (int now = 60; now <= recording.seconds(); now += Autoscaler.SYNC_SECONDS) {
            double[] present = new double[totals.size()];
            for (int i = 0; i < present.length; i++) {
                Double value = totals.get(i).get(now);
                assertTrue(value != null, autoscaler.signals.get(i) + " says nothing at " + now + " s");
                present[i] = value;
            }
            replicas.put(now, autoscaler.sync(now, present));
        }
        return replicas;
    }

    private static TreeMap<Integer, Integer> changes(TreeMap<Integer, Integer> replicas) {
        TreeMap<Integer, Integer> changes = new TreeMap<>();
        int last = 0;
        for (Map.Entry<Integer, Integer> at : replicas.entrySet()) {
            if (at.getValue() != last) {
                changes.put(at.getKey(), at.getValue());
                last = at.getValue();
            }
        }
        return changes;
    }

    /** The recording rules alone: they are what the autoscaler sees. */
    private static Path rules() throws IOException {
        JsonNode spec = Manifests.ofOverlay("cpu").only("PrometheusRule").path("spec");
        ObjectNode signals = Manifests.YAML.createObjectNode();
        signals.putArray("groups").add(spec.at("/groups/0"));
        Files.createDirectories(FOLDER);
        Path file = FOLDER.resolve("rules.yaml");
        Manifests.YAML.writeValue(file.toFile(), signals);
        return file;
    }
}
