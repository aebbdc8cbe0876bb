package io.chorale.arch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Every attack of docs/SECURITY.md has a test, and the test is there. */
class SecurityDocTest {
    private static final Pattern ROW =
            Pattern.compile("^\\| (?!attack|---)(.+) \\| (.+) \\| (.+) \\|$", Pattern.MULTILINE);
    private static final Pattern TEST = Pattern.compile("`(\\w+)(?:\\.(\\w+))?`");

    @Test
    void shouldNameATestForEveryAttack() throws IOException {
        Map<String, String> sources = new HashMap<>();
        try (Stream<Path> files = Files.walk(Path.of("src/test/java"))) {
            for (Path file :
                    files.filter(file -> file.toString().endsWith(".java")).toList()) {
                // Two packages may have a test of the same name.
                sources.merge(
                        file.getFileName().toString().replace(".java", ""),
                        Files.readString(file, StandardCharsets.UTF_8),
                        String::concat);
            }
        }
        List<String> missing = new ArrayList<>();
        int attacks = 0;
        Matcher row = ROW.matcher(Files.readString(Path.of("docs/SECURITY.md")));
        while (row.find()) {
            attacks++;
            Matcher test = TEST.matcher(row.group(3));
            boolean any = false;
            while (test.find()) {
                any = true;
                String source = sources.getOrDefault(test.group(1), "");
                if (source.isEmpty() || (test.group(2) != null && !source.contains("void " + test.group(2) + "("))) {
                    missing.add(test.group());
                }
            }
            if (!any) {
                missing.add("a test of: " + row.group(1));
            }
        }
        assertTrue(attacks >= 20, "the table is there");
        assertEquals(List.of(), missing);
    }
}
