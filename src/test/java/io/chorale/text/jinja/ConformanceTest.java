package io.chorale.text.jinja;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Small templates, one construct each, against the reference; a line of dashes parts them. */
class ConformanceTest {
    private static final Path CASES = Path.of("src/test/resources/jinja");

    private static final Map<String, Object> VARIABLES = variables();

    private static Map<String, Object> variables() {
        Map<String, Object> variables = new LinkedHashMap<>();
        variables.put("text", "  Hello, World!\n");
        variables.put("word", "straße");
        variables.put("emoji", "a😀b");
        variables.put("empty", "");
        variables.put("number", 7);
        variables.put("half", 0.5);
        variables.put("nothing", null);
        variables.put("yes", true);
        variables.put("numbers", List.of(3, 1, 2));
        variables.put("words", List.of("pear", "Apple", "fig"));
        variables.put("mixed", List.of("a", 1, true));
        variables.put("none_list", List.of());
        Map<String, Object> person = new LinkedHashMap<>();
        person.put("name", "Ann");
        person.put("age", 41);
        person.put("tags", List.of("x", "y"));
        person.put("address", Map.of("city", "Ulm"));
        variables.put("person", person);
        variables.put(
                "messages",
                List.of(
                        Map.of("role", "system", "content", "Be \"good\"."),
                        Map.of("role", "user", "content", "<b>Hi</b> & bye"),
                        Map.of("role", "assistant", "content", "Hello\tthere", "name", "Bot"),
                        Map.of("role", "user", "content", "")));
        return variables;
    }

    static List<String> cases(String file) throws IOException {
        List<String> cases = new ArrayList<>();
        for (String text : Files.readString(CASES.resolve(file)).split("(?m)^----\n", -1)) {
            if (!text.isEmpty()) {
                cases.add(text);
            }
        }
        return cases;
    }

    @Test
    void rendersWhatTheReferenceRenders() throws IOException {
        List<String> templates = cases("equal.txt");
        assertTrue(templates.size() > 300, "cases: " + templates.size());
        List<Reference.Outcome> expected = Reference.render(
                templates.stream().map(t -> new Reference.Case(t, VARIABLES)).toList());
        List<String> failures = new ArrayList<>();
        for (int i = 0; i < templates.size(); i++) {
            Reference.Outcome outcome = expected.get(i);
            String actual;
            try {
                actual = Template.parse(templates.get(i), Limits.DEFAULT, Clock.systemUTC())
                        .render(Map.of(), VARIABLES)
                        .chars();
            } catch (TemplateException e) {
                actual = e.kind() + ": " + e.getMessage();
            }
            if (!outcome.error().isEmpty() || !outcome.text().equals(actual)) {
                failures.add(templates.get(i) + "\n  reference: " + outcome + "\n  ours:      " + actual);
            }
        }
        assertTrue(failures.isEmpty(), () -> String.join("\n", failures));
    }

    /** Every case begins with a comment that says which kind of error is expected, in which line, with which words. */
    @Test
    void refusesWhatItDoesNotKnow() throws IOException {
        List<String> templates = cases("refused.txt");
        assertTrue(templates.size() > 80, "cases: " + templates.size());
        List<String> failures = new ArrayList<>();
        for (String template : templates) {
            String[] expected =
                    template.substring(2, template.indexOf("#}")).strip().split(" ", 3);
            String outcome;
            try {
                outcome = "rendered as: "
                        + Template.parse(template, Limits.DEFAULT, Clock.systemUTC())
                                .render(Map.of(), VARIABLES)
                                .chars();
            } catch (TemplateException e) {
                boolean fits = e.kind().name().equals(expected[0])
                        && String.valueOf(e.line()).equals(expected[1])
                        && String.valueOf(e.getMessage()).contains(expected[2]);
                outcome = fits ? "" : e.kind() + " " + e.line() + " " + e.getMessage();
            }
            if (!outcome.isEmpty()) {
                failures.add(template + "  was: " + outcome);
            }
        }
        assertTrue(failures.isEmpty(), () -> String.join("\n", failures));
    }
}
