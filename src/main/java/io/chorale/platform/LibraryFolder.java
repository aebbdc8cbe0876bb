package io.chorale.platform;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * The one folder in which all shared libraries lie: the engine's, its backends', the JNI glue, the tokenizer's. Nothing
 * is unpacked at run time. It is the first of these that is named or there:
 *
 * <pre>
 * system property chorale.native.dir · environment variable CHORALE_NATIVE_DIR
 * lib/ beside the executable (native image only) · target/native under the working directory
 * </pre>
 */
public final class LibraryFolder {
    private static final String PROPERTY = "chorale.native.dir";
    private static final String VARIABLE = "CHORALE_NATIVE_DIR";

    /** The library by which the folder is known. */
    private static final String LANDMARK = System.mapLibraryName("jnichorale");

    private LibraryFolder() {}

    /** The folder, where there is one. */
    public static Optional<Path> find() {
        return candidates().values().stream()
                .filter(LibraryFolder::holdsLibraries)
                .findFirst();
    }

    /** @throws IllegalStateException where there is none, naming every place that was looked at */
    public static Path path() {
        return find().orElseThrow(() -> {
            StringBuilder tried = new StringBuilder();
            candidates()
                    .forEach((why, path) -> tried.append("\n  ")
                            .append(path)
                            .append(" (")
                            .append(why)
                            .append(')'));
            return new IllegalStateException("the engine's shared libraries were not found: no " + LANDMARK + " in"
                    + tried + "\nBuild them with ./chorale build, or name their folder with -D" + PROPERTY + " or "
                    + VARIABLE);
        });
    }

    private static boolean holdsLibraries(Path folder) {
        return Files.exists(folder.resolve(LANDMARK));
    }

    /** Why a folder is looked at, and which it is; one that is named is the only one. */
    private static Map<String, Path> candidates() {
        Map<String, Path> candidates = new LinkedHashMap<>();
        String property = System.getProperty(PROPERTY, "");
        String variable = System.getenv().getOrDefault(VARIABLE, "");
        if (!property.isBlank()) {
            candidates.put("system property " + PROPERTY, Path.of(property));
        } else if (!variable.isBlank()) {
            candidates.put("environment variable " + VARIABLE, Path.of(variable));
        } else {
            if (NativeExecutable.isThis()) {
                candidates.put("beside the executable", executable().resolveSibling("lib"));
            }
            candidates.put("under the working directory", Path.of("target", "native"));
        }
        candidates.replaceAll((why, path) -> path.toAbsolutePath().normalize());
        return candidates;
    }

    private static Path executable() {
        try {
            return Path.of("/proc/self/exe").toRealPath();
        } catch (IOException noProc) {
            throw new IllegalStateException("cannot tell where the executable lies; set " + VARIABLE, noProc);
        }
    }
}
