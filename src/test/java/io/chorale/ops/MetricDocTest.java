package io.chorale.ops;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** The table of docs/OPERATIONS.md is made from {@link Metric}; {@code -Ddocs.update} writes it. */
class MetricDocTest {
    private static final Path FILE = Path.of("docs/OPERATIONS.md");
    private static final String BEGIN = "<!-- metrics: made from io.chorale.ops.Metric -->\n";
    private static final String END = "<!-- end of metrics -->\n";

    @Test
    void shouldDocumentEveryMetric() throws IOException {
        String text = Files.readString(FILE);
        int begin = text.indexOf(BEGIN) + BEGIN.length();
        int end = text.indexOf(END);
        assertTrue(begin >= BEGIN.length() && end >= begin, FILE + " has lost its markers");
        if (System.getProperty("docs.update") != null) {
            Files.writeString(FILE, text.substring(0, begin) + table() + text.substring(end));
            return;
        }
        assertEquals(table(), text.substring(begin, end), "run this test with -Ddocs.update");
    }

    @Test
    void shouldNameOnlyMetricsThatAreThere() throws IOException {
        Set<String> known =
                Arrays.stream(Metric.values()).map(Metric::prometheusName).collect(Collectors.toSet());
        List<String> unknown = Pattern.compile("`(chorale_[a-z_]+)")
                .matcher(Files.readString(FILE))
                .results()
                .map(found -> found.group(1))
                .filter(name -> !known.contains(name))
                .toList();
        assertEquals(List.of(), unknown);
    }

    private static String table() {
        StringBuilder table = new StringBuilder("\n| metric | kind | unit | label | says |\n|---|---|---|---|---|\n");
        for (Metric metric : Metric.values()) {
            table.append("| `")
                    .append(metric.prometheusName())
                    .append("` | ")
                    .append(metric.kind().name().toLowerCase(Locale.ROOT))
                    .append(" | ")
                    .append(metric.unit())
                    .append(" | ")
                    .append(metric.label())
                    .append(" | ")
                    .append(metric.sentence())
                    .append(" |\n");
        }
        return table.append('\n').toString();
    }
}
