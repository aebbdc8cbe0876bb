package io.chorale.e2e;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;

/** What transformers and PEFT answer with the bundled model and adapters at temperature 0. */
record Fable(String model, String question, String answer, int answerTokens) {
    static final Path EXPECTED = Path.of("models/fable/expected.json").toAbsolutePath();

    /** The first conversation of the reference with this adapter. */
    static Fable with(String adapter) throws IOException {
        for (JsonNode one : new ObjectMapper().readTree(EXPECTED.toFile())) {
            if (one.get("adapter").asText().equals(adapter)) {
                return new Fable(
                        adapter,
                        one.at("/messages/0/content").asText(),
                        one.get("text").asText(),
                        one.get("greedy_ids").size());
            }
        }
        throw new IllegalArgumentException(EXPECTED + " has no conversation with " + adapter);
    }
}
