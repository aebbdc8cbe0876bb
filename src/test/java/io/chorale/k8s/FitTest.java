package io.chorale.k8s;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.quarkus.runtime.configuration.DurationConverter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** The manifests speak of this application: its paths, its port, its settings; and of one another. */
class FitTest {
    /** What a server has when nobody says otherwise. */
    private static final int PORT = 8080;

    @Test
    void shouldProbeEachEndpointForWhatItSays() throws IOException {
        for (String overlay : Manifests.OVERLAYS) {
            JsonNode container = Manifests.ofOverlay(overlay).container();
            assertEquals(
                    "/q/health/started",
                    container.at("/startupProbe/httpGet/path").asText());
            assertEquals(
                    "/q/health/ready",
                    container.at("/readinessProbe/httpGet/path").asText());
            assertEquals(
                    "/q/health/live",
                    container.at("/livenessProbe/httpGet/path").asText());
        }
        String application = Files.readString(Path.of("src/main/resources/application.properties"));
        assertTrue(application.contains("quarkus.smallrye-health.root-path=/q/health\n"));
        assertTrue(Files.readString(Path.of("src/main/java/io/chorale/boot/MetricsRoute.java"))
                .contains("router.get(\"/metrics\")"));
        assertEquals(
                "/metrics",
                Manifests.ofOverlay("cpu")
                        .only("PodMonitor")
                        .at("/spec/podMetricsEndpoints/0/path")
                        .asText());
    }

    @Test
    void shouldNameOnePortEverywhere() throws IOException {
        assertFalse(Files.readString(Path.of("src/main/resources/application.properties"))
                .contains("quarkus.http.port"));
        Manifests manifests = Manifests.ofOverlay("gpu-hpa");
        JsonNode port = manifests.container().at("/ports/0");
        assertEquals(PORT, port.path("containerPort").asInt());
        String name = port.path("name").asText();
        for (String probe : List.of("startupProbe", "readinessProbe", "livenessProbe")) {
            assertEquals(
                    name, manifests.container().path(probe).at("/httpGet/port").asText());
        }
        assertEquals(
                name, manifests.only("Service").at("/spec/ports/0/targetPort").asText());
        assertEquals(
                name,
                manifests
                        .only("PodMonitor")
                        .at("/spec/podMetricsEndpoints/0/port")
                        .asText());
        assertEquals(
                name,
                manifests
                        .only("NetworkPolicy")
                        .at("/spec/ingress/0/ports/0/port")
                        .asText());
        assertEquals(
                PORT,
                manifests.only("InferencePool").at("/spec/targetPorts/0/number").asInt());
    }

    @Test
    void shouldSetOnlyWhatCanBeSet() throws IOException {
        Set<String> known = Pattern.compile("^\\| `(chorale[a-z.-]+)` \\|", Pattern.MULTILINE)
                .matcher(Files.readString(Path.of("docs/CONFIG.md")))
                .results()
                .map(key -> environmentName(key.group(1)))
                .collect(Collectors.toCollection(TreeSet::new));
        assertTrue(known.contains("CHORALE_ENGINE_KIND"), "docs/CONFIG.md names the settings");
        // Of Quarkus those that application.properties has a default for.
        Files.readAllLines(Path.of("src/main/resources/application.properties")).stream()
                .filter(line -> line.startsWith("quarkus."))
                .map(line -> environmentName(line.substring(0, line.indexOf('='))))
                .forEach(known::add);
        known.add("SMALLRYE_CONFIG_LOCATIONS");
        for (Manifests manifests : List.of(
                Manifests.ofOverlay("cpu"),
                Manifests.ofOverlay("gpu"),
                Manifests.ofChart("gpu=true", "adapters=object-storage"))) {
            Set<String> unknown = new TreeSet<>(manifests.settings().keySet());
            unknown.removeAll(known);
            assertEquals(Set.of(), unknown, manifests.name() + " sets what docs/CONFIG.md does not know");
            manifests.container().path("env").forEach(variable -> {
                String name = variable.path("name").asText();
                assertTrue(!name.startsWith("CHORALE_") || known.contains(name), name);
            });
        }
    }

    private static String environmentName(String key) {
        return key.toUpperCase(java.util.Locale.ROOT).replaceAll("[^A-Z0-9]", "_");
    }

    /** Nothing secret stands in a manifest, and what the pods read need not be there. */
    @Test
    void shouldReadSecretsOfTheOperators() throws IOException {
        for (Manifests manifests : List.of(Manifests.ofOverlay("gpu"), Manifests.ofChart())) {
            JsonNode secret = manifests.container().at("/envFrom/1/secretRef");
            assertEquals("chorale-sources", secret.path("name").asText());
            assertTrue(secret.path("optional").asBoolean());
            assertEquals(0, manifests.ofKind("Secret").count());
            assertTrue(manifests.settings().keySet().stream().noneMatch(name -> name.endsWith("_KEY")));
        }
    }

    /** Limits, tenants and keys come from a file that follows its Secret, and from nowhere that would hide a change. */
    @Test
    void shouldReadWhatMayChangeFromAFileThatFollowsItsSecret() throws IOException {
        for (Manifests manifests : List.of(
                Manifests.ofOverlay("cpu"),
                Manifests.ofOverlay("gpu-keda"),
                Manifests.ofChart(),
                Manifests.ofChart("gpu=true", "adapters=object-storage"))) {
            Path file = Path.of(manifests.settings().getOrDefault("SMALLRYE_CONFIG_LOCATIONS", ""));
            JsonNode mount = only(manifests.container().path("volumeMounts"), "mountPath", "" + file.getParent());
            assertTrue(mount.path("readOnly").asBoolean());
            assertTrue(mount.path("subPath").isMissingNode(), "what is mounted as a single file stays as it is");
            JsonNode secret = only(
                            manifests.pod().path("volumes"),
                            "name",
                            mount.path("name").asText())
                    .path("secret");
            assertTrue(secret.path("optional").asBoolean());
            assertEquals(0440, secret.path("defaultMode").asInt(), "keys are for the server alone to read");
            assertEquals(List.of(), reloadable(manifests.settings().keySet()), "the environment would win");
            assertTrue(
                    Files.readString(Manifests.FOLDER.resolve("README.md"))
                            .contains("kubectl create secret generic %s --from-file=%s\n"
                                    .formatted(secret.path("secretName").asText(), file.getFileName())),
                    "operators are told how to make it");
        }
    }

    private static JsonNode only(JsonNode elements, String field, String value) {
        List<JsonNode> found = new ArrayList<>();
        elements.forEach(element -> {
            if (element.path(field).asText().equals(value)) {
                found.add(element);
            }
        });
        assertEquals(1, found.size(), field + " " + value + " in " + elements);
        return found.getFirst();
    }

    private static List<String> reloadable(Set<String> variables) {
        Pattern limits = Pattern.compile("CHORALE_(ADMISSION|TENANTS|KEYS|OBJECTIVES)_.*|CHORALE_ADAPTERS_ADMIN_KEY");
        return variables.stream()
                .filter(variable -> limits.matcher(variable).matches())
                .toList();
    }

    /** Folders that the settings name are volumes. */
    @Test
    void shouldMountWhatTheSettingsName() throws IOException {
        for (Manifests manifests :
                List.of(Manifests.ofOverlay("gpu"), Manifests.ofChart("gpu=true", "adapters=object-storage"))) {
            List<String> mounted = new ArrayList<>();
            manifests
                    .container()
                    .path("volumeMounts")
                    .forEach(mount -> mounted.add(mount.path("mountPath").asText()));
            Map<String, String> settings = manifests.settings();
            for (String key : List.of("CHORALE_MODEL_DIR", "CHORALE_ADAPTERS_DIR")) {
                assertTrue(mounted.contains(settings.get(key)), manifests.name() + ": " + key + " in " + mounted);
            }
        }
    }

    /** A stream that is under way when its pod must go has all its grace: the pause, the drain, and some seconds to end. */
    @Test
    void shouldGiveStreamsTheirTime() throws IOException {
        for (String overlay : Manifests.OVERLAYS) {
            Manifests manifests = Manifests.ofOverlay(overlay);
            Duration drain = DurationConverter.parseDuration(
                    manifests.settings().getOrDefault("CHORALE_LIFECYCLE_DRAIN_GRACE", ""));
            Duration pause = Duration.ofSeconds(
                    manifests.container().at("/lifecycle/preStop/sleep/seconds").asInt());
            Duration grace = Duration.ofSeconds(
                    manifests.pod().path("terminationGracePeriodSeconds").asInt());
            assertTrue(pause.toSeconds() >= 5, "who balances the load must hear of it first");
            assertTrue(grace.compareTo(pause.plus(drain).plusSeconds(20)) >= 0, overlay + ": " + grace);
        }
    }

    @Test
    void shouldNotAskForMoreGpusThanThereAre() throws IOException {
        for (String overlay : List.of("gpu", "gpu-hpa", "gpu-keda")) {
            Manifests manifests = Manifests.ofOverlay(overlay);
            JsonNode rollout = manifests.only("Deployment").at("/spec/strategy/rollingUpdate");
            assertEquals(0, rollout.path("maxSurge").asInt(-1));
            assertEquals(1, rollout.path("maxUnavailable").asInt());
            assertEquals(
                    "1",
                    manifests
                            .container()
                            .at("/resources/limits/nvidia.com~1gpu")
                            .asText());
            assertEquals("cuda", manifests.settings().get("CHORALE_ENGINE_KIND"));
        }
    }

    @Test
    void shouldRunWithoutRights() throws IOException {
        for (Manifests manifests :
                List.of(Manifests.ofOverlay("cpu"), Manifests.ofChart("gpu=true", "adapters=object-storage"))) {
            JsonNode pod = manifests.pod();
            assertTrue(pod.at("/securityContext/runAsNonRoot").asBoolean());
            assertEquals(
                    "RuntimeDefault",
                    pod.at("/securityContext/seccompProfile/type").asText());
            assertFalse(pod.path("automountServiceAccountToken").asBoolean(true));
            List<JsonNode> containers = new ArrayList<>();
            pod.path("containers").forEach(containers::add);
            pod.path("initContainers").forEach(containers::add);
            for (JsonNode container : containers) {
                JsonNode rights = container.path("securityContext");
                assertFalse(rights.path("allowPrivilegeEscalation").asBoolean(true));
                assertTrue(rights.path("readOnlyRootFilesystem").asBoolean());
                assertEquals("ALL", rights.at("/capabilities/drop/0").asText());
                assertTrue(container.at("/resources/limits/memory").isTextual());
                assertFalse(container.path("image").asText().endsWith(":latest"));
                assertTrue(container.path("image").asText().contains(":"), "an image has a version");
            }
        }
    }

    /** One label says which pods are meant, in every object that means them. */
    @Test
    void shouldSelectItsPods() throws IOException {
        Manifests manifests = Manifests.ofOverlay("gpu-keda");
        JsonNode labels = manifests.only("Deployment").at("/spec/template/metadata/labels");
        for (ObjectNode object : List.of(
                manifests.only("Deployment"),
                manifests.only("PodDisruptionBudget"),
                manifests.only("PodMonitor"),
                manifests.only("InferencePool"))) {
            assertSelects(labels, object.at("/spec/selector/matchLabels"), object);
        }
        assertSelects(labels, manifests.only("Service").at("/spec/selector"), manifests.only("Service"));
        assertSelects(
                labels,
                manifests.only("NetworkPolicy").at("/spec/podSelector/matchLabels"),
                manifests.only("NetworkPolicy"));
        assertEquals("vllm", labels.path("llm-d.ai/engine-type").asText());
        manifests.ofKind("InferenceObjective").forEach(objective -> {
            assertEquals(manifests.only("InferencePool").at("/metadata/name"), objective.at("/spec/poolRef/name"));
        });
        assertEquals(
                manifests.only("InferencePool").at("/metadata/name"),
                manifests.only("HTTPRoute").at("/spec/rules/0/backendRefs/0/name"));
    }

    private static void assertSelects(JsonNode labels, JsonNode selector, ObjectNode object) {
        assertFalse(selector.isEmpty(), Manifests.nameOf(object) + " selects everything");
        selector.properties()
                .forEach(
                        label -> assertEquals(labels.path(label.getKey()), label.getValue(), Manifests.nameOf(object)));
    }

    /** The autoscaler owns the replicas, or the overlay does; never both. */
    @Test
    void shouldHaveOneOwnerOfReplicas() throws IOException {
        Manifests fixed = Manifests.ofOverlay("gpu");
        assertEquals(2, fixed.only("Deployment").at("/spec/replicas").asInt());
        for (String overlay : List.of("gpu-hpa", "gpu-keda")) {
            Manifests scaled = Manifests.ofOverlay(overlay);
            assertTrue(scaled.only("Deployment").at("/spec/replicas").isMissingNode());
            long autoscalers = scaled.ofKind("HorizontalPodAutoscaler").count()
                    + scaled.ofKind("ScaledObject").count();
            assertEquals(1, autoscalers, "KEDA refuses a target that has another autoscaler");
        }
    }

    /** The chart and the overlays make the same objects. */
    @Test
    void shouldMakeTheSameWithTheChart() throws IOException {
        assertSame(Manifests.ofOverlay("cpu"), Manifests.ofChart());
        assertSame(Manifests.ofOverlay("gpu"), Manifests.ofChart("gpu=true", "adapters=volume", "gateway=true"));
        assertSame(
                Manifests.ofOverlay("gpu-hpa"),
                Manifests.ofChart("gpu=true", "adapters=volume", "gateway=true", "autoscaling.kind=hpa"));
        assertSame(
                Manifests.ofOverlay("gpu-keda"),
                Manifests.ofChart("gpu=true", "adapters=volume", "gateway=true", "autoscaling.kind=keda"));
    }

    private static void assertSame(Manifests overlay, Manifests chart) {
        Map<String, String> expected = withoutHashes(overlay);
        Map<String, String> actual = withoutHashes(chart);
        assertEquals(expected.keySet(), actual.keySet());
        expected.forEach((name, object) -> assertEquals(object, actual.get(name), name + " of " + chart.name()));
    }

    /** kustomize puts a hash of the settings into a name, helm into an annotation; fields and volumes come in any
     * order. */
    private static Map<String, String> withoutHashes(Manifests manifests) {
        Map<String, String> named = new TreeMap<>();
        Pattern hashed = Pattern.compile("\"chorale-[a-z0-9]{10}\"");
        for (JsonNode object : manifests.objects()) {
            JsonNode copy = object.deepCopy();
            if (copy.at("/spec/template/metadata") instanceof ObjectNode metadata) {
                metadata.remove("annotations");
            }
            String text = hashed.matcher(sorted(copy).toString()).replaceAll((MatchResult any) -> "\"chorale\"");
            try {
                JsonNode plain = Manifests.YAML.readTree(text);
                named.put(Manifests.nameOf(plain), plain.toPrettyString());
            } catch (IOException e) {
                throw new java.io.UncheckedIOException(e);
            }
        }
        return named;
    }

    private static JsonNode sorted(JsonNode node) {
        if (node instanceof ObjectNode object) {
            ObjectNode copy = object.objectNode();
            new TreeMap<>(object.properties().stream()
                            .collect(Collectors.toMap(Map.Entry::getKey, Map.Entry::getValue)))
                    .forEach((key, value) -> copy.set(key, sorted(value)));
            return copy;
        }
        if (node.isArray()) {
            List<JsonNode> elements = new ArrayList<>();
            node.forEach(element -> elements.add(sorted(element)));
            if (elements.stream().allMatch(element -> element.has("name"))) {
                elements.sort(
                        Comparator.comparing(element -> element.path("name").asText()));
            }
            return Manifests.YAML.createArrayNode().addAll(elements);
        }
        return node;
    }
}
