package io.chorale.parity;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/** One stored model with its adapters, and what an independent implementation answers. */
record ParityFixture(Path directory, List<Case> cases) {
    /**
     * One prompt.
     *
     * @param adapter empty: base model
     * @param margin the smallest gap between the two best logits on the way; NaN: not stored
     * @param firstLogits of the first token; empty: not stored
     */
    record Case(String adapter, int[] prompt, int[] ids, double margin, double[] firstLogits, double[] lastLogits) {
        @Override
        public String toString() {
            return (adapter.isEmpty() ? "base" : adapter) + " with a prompt of " + prompt.length;
        }
    }

    private static final Path BUNDLED = Path.of("src", "test", "resources", "parity");

    /** Where the stored answers lie: ours, or others of the same form that {@code -Dchorale.parity.dir} names. */
    private static final Path FOLDER = Path.of(System.getProperty("chorale.parity.dir", BUNDLED.toString()));

    static final List<String> STORED = names();

    private static List<String> names() {
        try (Stream<Path> folders = Files.list(FOLDER)) {
            return folders.filter(Files::isDirectory)
                    .map(folder -> folder.getFileName().toString())
                    .sorted()
                    .toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** One of ours, by name. */
    static ParityFixture bundled(String name) throws IOException {
        return read(BUNDLED.resolve(name));
    }

    static ParityFixture stored(String name) throws IOException {
        return read(FOLDER.resolve(name));
    }

    static ParityFixture read(Path directory) throws IOException {
        List<Case> cases = new ArrayList<>();
        for (JsonNode node :
                new ObjectMapper().readTree(directory.resolve("expected.json").toFile())) {
            cases.add(new Case(
                    node.path("adapter").asText("").replace("null", ""),
                    ints(node.path("prompt_ids")),
                    ints(node.path("greedy_ids")),
                    node.path("smallest_margin").asDouble(Double.NaN),
                    doubles(node.path("first_logits")),
                    doubles(node.path("last_logits"))));
        }
        return new ParityFixture(directory, cases);
    }

    Path model() {
        return directory.resolve("model");
    }

    Path adapter(String name) {
        return directory.resolve("adapters").resolve(name);
    }

    private static int[] ints(JsonNode node) {
        int[] values = new int[node.size()];
        for (int i = 0; i < values.length; i++) {
            values[i] = node.get(i).asInt();
        }
        return values;
    }

    private static double[] doubles(JsonNode node) {
        double[] values = new double[node.size()];
        for (int i = 0; i < values.length; i++) {
            values[i] = node.get(i).asDouble();
        }
        return values;
    }
}
