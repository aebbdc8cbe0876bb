package io.chorale.k8s;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.StreamSupport;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The Dockerfiles as far as they can be checked without building them. */
class ImagesTest {
    @ParameterizedTest
    @ValueSource(strings = {"Dockerfile.native", "Dockerfile.jvm"})
    void shouldMakeAnImageThatTheManifestsCanRun(String file) throws IOException {
        JsonNode parsed = Manifests.NPM.run("dockerfile.mjs", Map.of("text", Files.readString(Path.of(file))));
        assertEquals(0, parsed.path("problems").size(), parsed.path("problems").toString());
        Set<String> stages = new HashSet<>();
        JsonNode last = null;
        for (JsonNode stage : parsed.path("stages")) {
            checkBase(words(stage.path(0)), stages);
            checkCopies(stage, stages);
            last = stage;
        }
        assertTrue(last != null && stages.size() >= 1, "it is built in stages");
        List<String> user = words(only(last, "USER"));
        assertTrue(Integer.parseInt(user.getFirst()) > 0, "runAsNonRoot wants a number");
        assertEquals(
                user.getFirst(),
                Manifests.ofOverlay("cpu")
                        .pod()
                        .at("/securityContext/runAsUser")
                        .asText());
        assertEquals(List.of("8080"), words(only(last, "EXPOSE")));
        assertTrue(words(only(last, "HEALTHCHECK")).toString().contains("http://127.0.0.1:8080/q/health/live"));
        assertTrue(words(only(last, "ENTRYPOINT")).getFirst().startsWith("["), "signals reach the process itself");
        String labels = words(only(last, "LABEL")).toString();
        for (String label : List.of("title", "description", "version", "revision")) {
            assertTrue(labels.contains("org.opencontainers.image." + label), label);
        }
        for (JsonNode instruction : last) {
            assertFalse(instruction.path("keyword").asText().equals("ADD"), "COPY says what it does");
        }
    }

    /** A version for every image, so that the same sources make the same image tomorrow. */
    private static void checkBase(List<String> from, Set<String> stages) {
        String image = from.getFirst();
        boolean ours = stages.contains(image) || image.startsWith("plugin-");
        assertTrue(ours || image.matches("[a-z.]+/[a-z0-9/-]+:.+"), image + " needs a registry and a version");
        assertFalse(image.endsWith(":latest"), image);
        if (from.size() == 3) {
            stages.add(from.get(2));
        }
    }

    /** What is copied exists: in the repository, and let through by .dockerignore, or in a stage before. */
    private static void checkCopies(JsonNode stage, Set<String> stages) throws IOException {
        List<String> let = Files.readAllLines(Path.of(".dockerignore")).stream()
                .filter(line -> line.startsWith("!"))
                .map(line -> line.substring(1))
                .toList();
        for (JsonNode instruction : stage) {
            if (!instruction.path("keyword").asText().equals("COPY")) {
                continue;
            }
            String flag = instruction.at("/flags/0").asText();
            String source = instruction.at("/words/0").asText();
            if (flag.startsWith("--from=")) {
                assertTrue(stages.contains(flag.substring("--from=".length())), flag);
            } else {
                assertTrue(Files.exists(Path.of(source)), source + " is not there");
                assertTrue(let.stream().anyMatch(source::startsWith), source + " is kept out by .dockerignore");
            }
        }
    }

    private static JsonNode only(JsonNode stage, String keyword) {
        List<JsonNode> found = StreamSupport.stream(stage.spliterator(), false)
                .filter(instruction -> instruction.path("keyword").asText().equals(keyword))
                .toList();
        assertEquals(1, found.size(), keyword);
        return found.getFirst();
    }

    private static List<String> words(JsonNode instruction) {
        List<String> words = new ArrayList<>();
        instruction.path("words").forEach(word -> words.add(word.asText()));
        return words;
    }
}
