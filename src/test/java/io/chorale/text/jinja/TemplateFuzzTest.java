package io.chorale.text.jinja;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.io.IOException;
import java.time.Clock;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

/** Templates made of pieces of good ones: whatever they are, they render or are refused, soon. */
class TemplateFuzzTest {
    private static final int TEMPLATES = 20_000;
    private static final Limits LIMITS = new Limits(1 << 16, 200, 20_000, 1 << 20);
    private static final Map<String, ?> VARIABLES = Map.of(
            "messages",
            List.of(Map.of("role", "user", "content", "hi"), Map.of("role", "assistant", "content", " <b> ")),
            "text",
            " Hello\n",
            "numbers",
            List.of(3, 1, 2),
            "person",
            Map.of("name", "Ann", "age", 41));

    @Test
    void rendersOrRefusesWithATypedError() throws IOException {
        List<String> seeds = new ArrayList<>(ConformanceTest.cases("equal.txt"));
        seeds.addAll(ConformanceTest.cases("refused.txt"));
        seeds.removeIf(seed -> seed.length() > 2000);
        long seed = 20261121;
        Random random = new Random(seed);
        Map<String, Integer> outcomes = new TreeMap<>();
        for (int i = 0; i < TEMPLATES; i++) {
            String template = mutant(seeds, random);
            try {
                assertTimeoutPreemptively(
                        Duration.ofSeconds(10),
                        () -> Template.parse(template, LIMITS, Clock.systemUTC())
                                .render(Map.of(), VARIABLES));
                outcomes.merge("RENDERED", 1, Integer::sum);
            } catch (TemplateException e) {
                outcomes.merge(e.kind().name(), 1, Integer::sum);
            } catch (RuntimeException | Error e) {
                fail("seed " + seed + ", template " + i + ": " + template, e);
            }
        }
        int reachable = TemplateException.Kind.values().length + 1;
        assertEquals(reachable, outcomes.size(), () -> "the mutations reach every outcome: " + outcomes);
    }

    private static String mutant(List<String> seeds, Random random) {
        StringBuilder template = new StringBuilder(any(seeds, random));
        int mutations = 1 + random.nextInt(6);
        for (int i = 0; i < mutations; i++) {
            int at = random.nextInt(template.length() + 1);
            String other = any(seeds, random);
            int from = random.nextInt(other.length());
            int to = from + random.nextInt(other.length() - from) + 1;
            switch (random.nextInt(5)) {
                case 0 -> template.insert(at, other, from, to);
                case 1 -> template.delete(at, Math.min(template.length(), at + 1 + random.nextInt(8)));
                case 2 -> template.replace(at, Math.min(template.length(), at + to - from), other.substring(from, to));
                case 3 -> template.append(other);
                default -> template.insert(at, (char) random.nextInt(random.nextBoolean() ? 128 : 65536));
            }
        }
        return template.toString();
    }

    private static String any(List<String> seeds, Random random) {
        return seeds.get(random.nextInt(seeds.size()));
    }

    @Test
    void theDeepestNestingFitsASmallStack() throws InterruptedException {
        String parentheses = "{{ " + "(".repeat(190) + "1" + ")".repeat(190) + " }}";
        String recursion = "{% macro m(n) %}{% for x in [1] %}{% if n %}{{ (m((n - 1)) ~ ('x' if n else 'y'))|trim }}"
                + "{% endif %}{% endfor %}{% endmacro %}{{ m(1000) }}";
        List<Throwable> failures = new ArrayList<>();
        for (String template : List.of(parentheses, recursion)) {
            Thread thread = new Thread(
                    null,
                    () -> {
                        try {
                            Template.parse(template, Limits.DEFAULT, Clock.systemUTC())
                                    .render(Map.of(), Map.of());
                        } catch (TemplateException e) {
                            // Refusing is as good as rendering.
                        } catch (StackOverflowError e) {
                            failures.add(e);
                        }
                    },
                    "small stack",
                    512 << 10);
            thread.start();
            thread.join();
        }
        assertTrue(failures.isEmpty());
    }
}
