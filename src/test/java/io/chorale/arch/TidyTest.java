package io.chorale.arch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Facts about the repository that no compiler checks: links that resolve, decisions that are listed, words that lie. */
class TidyTest {
    private static final Pattern LINK = Pattern.compile("\\]\\(([^)#:\\s]+)(#[^)]*)?\\)");
    private static final Pattern UNFINISHED = Pattern.compile("\\b(TODO|FIXME|XXX)\\b");

    @Test
    void shouldLinkOnlyToFilesThatExist() throws IOException {
        List<String> broken = new ArrayList<>();
        for (Path page : filesUnder(Path.of("."), ".md")) {
            Matcher link = LINK.matcher(read(page).replaceAll("(?s)```.*?```", ""));
            while (link.find()) {
                Path folder = page.getParent() == null ? Path.of(".") : page.getParent();
                if (!Files.exists(folder.resolve(link.group(1)))) {
                    broken.add(page + " -> " + link.group(1));
                }
            }
        }
        assertEquals(List.of(), broken);
    }

    @Test
    void shouldListEveryDecision() throws IOException {
        String index = read(Path.of("docs/adr/README.md"));
        List<Path> decisions = filesUnder(Path.of("docs/adr"), ".md").stream()
                .filter(file -> file.getFileName().toString().matches("\\d{4}-.*"))
                .toList();
        assertTrue(decisions.size() >= 12, "decisions are recorded");
        List<Path> unlisted = decisions.stream()
                .filter(file -> !index.contains("(" + file.getFileName() + ")"))
                .toList();
        assertEquals(List.of(), unlisted);
    }

    @Test
    void shouldExplainEveryCodeOfAnError() throws IOException {
        Pattern code = Pattern.compile("Problem\\s*\\.(?:invalid|failed|overloaded)\\(\\s*[\\w.]+,\\s*\"(\\w+[a-z])\"");
        String documented = read(Path.of("docs/API.md"));
        TreeSet<String> codes = new TreeSet<>();
        for (Path file : filesUnder(Path.of("src/main/java/io/chorale/api"), ".java")) {
            code.matcher(read(file)).results().forEach(found -> codes.add(found.group(1)));
        }
        // Nobody is there to read it.
        codes.remove("cancelled");
        assertTrue(codes.size() > 20, codes::toString);
        codes.removeIf(known -> documented.contains("`" + known + "`"));
        assertEquals(Set.of(), codes);
    }

    @Test
    void shouldLeaveNoUnfinishedMarksInSources() throws IOException {
        List<String> marks = new ArrayList<>();
        for (String ending : List.of(".java", ".h", ".cc", ".cu", ".cuh", ".js", ".mjs", ".css")) {
            for (Path file : filesUnder(Path.of("src"), ending)) {
                if (!file.endsWith("TidyTest.java")
                        && UNFINISHED.matcher(read(file)).find()) {
                    marks.add(file.toString());
                }
            }
        }
        assertEquals(List.of(), marks);
    }

    /** They would not start, and where no native executable is built nobody would notice. */
    @Test
    void shouldInjectNothingIntoTestsOfTheExecutable() throws IOException {
        Pattern parent = Pattern.compile("class \\w+ extends (\\w+)");
        List<String> injected = new ArrayList<>();
        for (Path file : filesUnder(Path.of("src/test/java"), "IT.java")) {
            Matcher match = parent.matcher(read(file));
            if (match.find()
                    && read(file.resolveSibling(match.group(1) + ".java")).contains("@Inject")) {
                injected.add(match.group(1));
            }
        }
        assertEquals(List.of(), injected);
    }

    @Test
    void shouldNameNoFolderOfTheMachineItWasWrittenOn() throws IOException {
        List<String> found = new ArrayList<>();
        String home = "/wo" + "rk/";
        for (Path root : List.of(Path.of("src"), Path.of("docs"), Path.of("k8s"))) {
            try (Stream<Path> files = Files.walk(root)) {
                for (Path file : files.filter(Files::isRegularFile)
                        .filter(file -> Files.isReadable(file) && isText(file))
                        .toList()) {
                    if (read(file).contains(home)) {
                        found.add(file.toString());
                    }
                }
            }
        }
        assertEquals(List.of(), found);
    }

    private static boolean isText(Path file) {
        return !file.toString().matches(".*\\.(png|ico|safetensors|bin|json)$");
    }

    private static List<Path> filesUnder(Path root, String ending) throws IOException {
        try (Stream<Path> files = Files.walk(root)) {
            return files.filter(file -> file.toString().endsWith(ending))
                    .filter(file -> !file.toString().contains("node_modules")
                            && !file.normalize().startsWith("target")
                            && !file.toString().contains("/.git/"))
                    .sorted()
                    .toList();
        }
    }

    private static String read(Path file) throws IOException {
        return Files.readString(file, StandardCharsets.UTF_8);
    }
}
