package io.chorale.text.jinja;

import com.fasterxml.jackson.databind.JsonNode;
import io.chorale.testing.Npm;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Renders with {@code @huggingface/jinja}, all cases in one process. */
public final class Reference {
    /** A template and its variables. */
    public record Case(String template, Map<String, ?> variables) {}

    /** What became of a case: its text or its error, the other empty. */
    public record Outcome(String text, String error) {}

    private Reference() {}

    public static List<Outcome> render(List<Case> cases) throws IOException {
        List<Outcome> outcomes = new ArrayList<>();
        for (JsonNode outcome : Npm.run("jinja.mjs", cases)) {
            outcomes.add(new Outcome(
                    outcome.path("text").asText(), outcome.path("error").asText()));
        }
        return outcomes;
    }
}
