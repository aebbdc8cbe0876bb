package io.chorale.arch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The layers of docs/ARCHITECTURE.md, "C++ map": what the folders of C++ include of each other. */
class CppLayersTest {
    private static final Path CPP = Path.of("src/main/cpp");
    private static final Pattern SOURCE = Pattern.compile(".*\\.(h|cc|cu|cuh|inc)");
    private static final Pattern INCLUDE = Pattern.compile("(?m)^\\s*#\\s*include\\s+([\"<])([^\">]+)[\">]");
    private static final Pattern CUDA =
            Pattern.compile("(cuda|cublas|nccl|curand|nvml|cooperative_groups|mma)\\w*\\.h");

    /** A folder, and what of ours it may include besides itself: folders that stand before it, so there is no circle. */
    private record Layer(String folder, List<String> below) {
        Layer(String folder, String... below) {
            this(folder, List.of(below));
        }
    }

    private static final List<Layer> LAYERS = List.of(
            new Layer("include/chorale"),
            new Layer("base", "include/chorale"),
            new Layer("memory", "base", "include/chorale"),
            new Layer("model", "base", "include/chorale"),
            new Layer("step", "base", "include/chorale"),
            new Layer("shard", "model", "memory", "base", "include/chorale"),
            new Layer("lora", "step", "model", "memory", "base"),
            new Layer("backend", "lora", "shard", "step", "model", "memory", "base", "include/chorale"),
            new Layer("backend/cpu", "backend", "shard", "step", "model", "base"),
            new Layer("kernels", "base"),
            new Layer("backend/cuda", "backend", "kernels", "lora", "shard", "model", "base"),
            new Layer("weights", "backend", "lora", "shard", "model", "memory", "base", "include/chorale"),
            new Layer("forward", "weights", "backend", "shard"),
            new Layer(
                    "engine", "forward", "weights", "backend/cpu", "backend", "lora", "shard", "step", "model", "base"),
            new Layer("api", "engine", "base", "include/chorale"),
            new Layer("tools", "engine", "backend", "shard", "step", "model", "base", "include/chorale"));

    private static final Map<String, Layer> BY_FOLDER =
            LAYERS.stream().collect(Collectors.toMap(Layer::folder, Function.identity()));

    @Test
    void shouldStandOnWhatIsBefore() {
        Set<String> before = new HashSet<>();
        for (Layer layer : LAYERS) {
            assertTrue(before.containsAll(layer.below()), layer::toString);
            before.add(layer.folder());
        }
    }

    @Test
    void shouldIncludeOnlyWhatIsBelow() throws IOException {
        List<String> wrong = new ArrayList<>();
        Set<String> folders = new TreeSet<>(), arrows = new TreeSet<>();
        for (Path file : sources()) {
            String from = folderOf(CPP.relativize(file));
            folders.add(from);
            INCLUDE.matcher(Files.readString(file)).results().forEach(include -> {
                String to = include.group(1).equals("<") ? from : included(include.group(2));
                Layer layer = BY_FOLDER.get(from);
                if (layer != null && !to.equals(from)) {
                    arrows.add(from + " -> " + to);
                    if (!layer.below().contains(to) && !isTestHarness(from, to)) {
                        wrong.add(file + " includes " + include.group(2));
                    }
                }
            });
        }
        assertEquals(new TreeSet<>(BY_FOLDER.keySet()), folders, "layers, and folders");
        assertEquals(List.of(), wrong);
        List<String> unused = LAYERS.stream()
                .flatMap(layer -> layer.below().stream().map(below -> layer.folder() + " -> " + below))
                .filter(arrow -> !arrows.contains(arrow))
                .toList();
        assertEquals(List.of(), unused, "arrows that nobody needs");
    }

    @Test
    void shouldKeepCudaInItsPlugin() throws IOException {
        List<String> wrong = new ArrayList<>();
        for (Path file : sources()) {
            if (Set.of("kernels", "backend/cuda").contains(folderOf(CPP.relativize(file)))) {
                continue;
            }
            INCLUDE.matcher(Files.readString(file)).results().forEach(include -> {
                if (CUDA.matcher(include.group(2)).matches()) {
                    wrong.add(file + " includes " + include.group(2));
                }
            });
        }
        assertEquals(List.of(), wrong);
    }

    /** The benchmark makes its steps and models as the tests do. */
    private static boolean isTestHarness(String from, String to) {
        return from.equals("tools") && to.equals("testing");
    }

    /** The folder of a path as includes write it: from the root of the sources, or of the ABI's headers. */
    private static String included(String path) {
        return folderOf(Path.of(Files.exists(CPP.resolve("include").resolve(path)) ? "include/" + path : path));
    }

    private static String folderOf(Path file) {
        Path parent = file.getParent();
        return parent == null ? "" : parent.toString();
    }

    private static List<Path> sources() throws IOException {
        try (Stream<Path> files = Files.walk(CPP)) {
            return files.filter(file -> SOURCE.matcher(file.toString()).matches())
                    .sorted()
                    .toList();
        }
    }
}
