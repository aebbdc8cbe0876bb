package io.chorale.k8s;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Every manifest is what an API server would accept, and a typing error in one fails here. */
class SchemaTest {
    /** What somebody will mistype one day, and in which object it must be noticed. */
    private record Mistake(String file, String right, String wrong, String object) {}

    private static final List<Mistake> MISTAKES = List.of(
            new Mistake("base/deployment.yaml", "preStop:", "prestop:", "Deployment/chorale"),
            new Mistake("base/deployment.yaml", "failureThreshold: 150", "failureTreshold: 150", "Deployment/chorale"),
            new Mistake("base/deployment.yaml", "runAsNonRoot: true", "runAsNonRoot: 'yes'", "Deployment/chorale"),
            new Mistake("base/deployment.yaml", "sizeLimit: 64Mi", "sizeLimit: 64 Mi", "Deployment/chorale"),
            new Mistake("base/deployment.yaml", "  selector:", "  selectors:", "Deployment/chorale"),
            new Mistake("base/networkpolicy.yaml", "protocol: TCP", "protocoll: TCP", "NetworkPolicy/chorale"),
            new Mistake(
                    "base/poddisruptionbudget.yaml",
                    "unhealthyPodEvictionPolicy",
                    "unhealthyPodsEvictionPolicy",
                    "PodDisruptionBudget/chorale"),
            new Mistake("base/service.yaml", "targetPort", "targetport", "Service/chorale"),
            new Mistake(
                    "components/gpu/deployment.yaml",
                    "nvidia.com/gpu: 1}",
                    "nvidia.com/gpu: one}",
                    "Deployment/chorale"),
            new Mistake("components/monitoring/podmonitor.yaml", "interval: 5s", "interval: 5 s", "PodMonitor/chorale"),
            new Mistake(
                    "components/monitoring/podmonitor.yaml",
                    "podMetricsEndpoints",
                    "podMetricEndpoints",
                    "PodMonitor/chorale"),
            new Mistake(
                    "components/monitoring/prometheusrule.yaml",
                    "expr: absent",
                    "expression: absent",
                    "PrometheusRule/chorale"),
            new Mistake(
                    "components/autoscaling-keda/scaledobject.yaml",
                    "maxReplicaCount",
                    "maxReplicas",
                    "ScaledObject/chorale"),
            new Mistake(
                    "components/autoscaling-keda/scaledobject.yaml",
                    "threshold: \"0.25\"",
                    "threshold: 0.25",
                    "ScaledObject/chorale"),
            new Mistake(
                    "components/autoscaling-hpa/horizontalpodautoscaler.yaml",
                    "averageValue: 500m",
                    "averageValu: 500m",
                    "HorizontalPodAutoscaler/chorale"),
            new Mistake(
                    "components/gateway/inferencepool.yaml",
                    "failureMode: FailOpen",
                    "failureMode: failOpen",
                    "InferencePool/chorale"),
            new Mistake("components/gateway/inferencepool.yaml", "number: 8080", "port: 8080", "InferencePool/chorale"),
            new Mistake(
                    "components/gateway/inferenceobjectives.yaml",
                    "priority: 10",
                    "priority: high",
                    "InferenceObjective/interactive"),
            new Mistake("components/gateway/httproute.yaml", "backendRefs", "backends", "HTTPRoute/chorale"));

    @Test
    void shouldAcceptEveryOverlayAndTheChart() throws IOException {
        Map<String, JsonNode> objects = new LinkedHashMap<>();
        for (String overlay : Manifests.OVERLAYS) {
            add(objects, Manifests.ofOverlay(overlay));
        }
        add(objects, Manifests.ofChart());
        add(objects, Manifests.ofChart("gpu=true", "adapters=object-storage", "autoscaling.kind=hpa", "gateway=true"));
        add(objects, Manifests.ofChart("gpu=true", "adapters=volume", "autoscaling.kind=keda", "monitoring=false"));
        assertTrue(objects.size() > 60, "the overlays and the chart make objects");
        assertEquals(List.of(), Manifests.problems(objects));
    }

    @Test
    void shouldFindEveryTypingError(@TempDir Path folder) throws IOException {
        Map<String, JsonNode> objects = new LinkedHashMap<>();
        for (int i = 0; i < MISTAKES.size(); i++) {
            Mistake mistake = MISTAKES.get(i);
            Path copy = folder.resolve(String.valueOf(i));
            copySources(copy);
            plant(mistake, copy.resolve(mistake.file()));
            String overlay = mistake.file().contains("keda") ? "gpu-keda" : "gpu-hpa";
            for (JsonNode object : Manifests.ofKustomization(
                            copy.resolve("overlays").resolve(overlay))
                    .objects()) {
                objects.put(i + " " + Manifests.nameOf(object), object);
            }
        }
        List<String> problems = Manifests.problems(objects);
        List<String> unnoticed = new ArrayList<>();
        List<String> beside = new ArrayList<>(problems);
        for (int i = 0; i < MISTAKES.size(); i++) {
            String where = i + " " + MISTAKES.get(i).object() + ":";
            if (!beside.removeIf(problem -> problem.startsWith(where))) {
                unnoticed.add(MISTAKES.get(i).toString());
            }
        }
        assertEquals(List.of(), unnoticed);
        assertEquals(List.of(), beside, "found where nothing is wrong");
    }

    private static void add(Map<String, JsonNode> objects, Manifests manifests) {
        manifests.objects().forEach(object -> objects.put(manifests.name() + " " + Manifests.nameOf(object), object));
    }

    private static void plant(Mistake mistake, Path file) throws IOException {
        String text = Files.readString(file);
        int at = text.indexOf(mistake.right());
        assertTrue(at >= 0, mistake.file() + " has no '" + mistake.right() + "'");
        Files.writeString(
                file,
                text.substring(0, at)
                        + mistake.wrong()
                        + text.substring(at + mistake.right().length()));
    }

    private static void copySources(Path copy) throws IOException {
        for (String folder : List.of("base", "components", "overlays")) {
            try (Stream<Path> files = Files.walk(Manifests.FOLDER.resolve(folder))) {
                for (Path file : files.filter(Files::isRegularFile).toList()) {
                    Path to = copy.resolve(Manifests.FOLDER.relativize(file));
                    Files.createDirectories(to.getParent());
                    Files.copy(file, to);
                }
            }
        }
    }
}
