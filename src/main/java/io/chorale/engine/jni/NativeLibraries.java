package io.chorale.engine.jni;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Finds and loads the engine's shared libraries. All lie in one folder; nothing is unpacked at run time. The folder is the
 * first of these that is named or there:
 *
 * <pre>
 * system property chorale.native.dir · environment variable CHORALE_NATIVE_DIR
 * lib/ beside the executable (native image only) · target/native under the working directory
 * </pre>
 */
public final class NativeLibraries {
    private static final String PROPERTY = "chorale.native.dir";
    private static final String VARIABLE = "CHORALE_NATIVE_DIR";
    private static final String GLUE = System.mapLibraryName("jnichorale");

    private NativeLibraries() {}

    /** The folder with the libraries; the tokenizer's lies there too. */
    public static Path directory() {
        Map<String, Path> candidates = new LinkedHashMap<>();
        String property = System.getProperty(PROPERTY, "");
        String variable = System.getenv().getOrDefault(VARIABLE, "");
        if (!property.isBlank()) {
            candidates.put("system property " + PROPERTY, Path.of(property));
        } else if (!variable.isBlank()) {
            candidates.put("environment variable " + VARIABLE, Path.of(variable));
        } else {
            if (System.getProperty("org.graalvm.nativeimage.imagecode") != null) {
                candidates.put("beside the executable", executable().resolveSibling("lib"));
            }
            candidates.put("under the working directory", Path.of("target", "native"));
        }
        StringBuilder tried = new StringBuilder();
        for (Map.Entry<String, Path> candidate : candidates.entrySet()) {
            Path directory = candidate.getValue().toAbsolutePath().normalize();
            if (Files.exists(directory.resolve(GLUE))) {
                return directory;
            }
            tried.append("\n  ")
                    .append(directory)
                    .append(" (")
                    .append(candidate.getKey())
                    .append(')');
        }
        throw new IllegalStateException("the engine's shared libraries were not found: no " + GLUE + " in" + tried
                + "\nBuild them with ./chorale build, or name their folder with -D" + PROPERTY + " or " + VARIABLE);
    }

    /** Loads them once and checks that they were built for this version of the ABI. */
    static void load() {
        Loaded.once();
    }

    /** The layout constants that the loaded library was compiled with, by name. */
    static Map<String, Long> abi() {
        Map<String, Long> constants = new LinkedHashMap<>();
        EngineLines.parse(NativeBuffers.text(ChoraleNative::ch_abi_describe))
                .forEach((name, value) -> constants.put(name, Long.parseLong(value)));
        return constants;
    }

    private static Path executable() {
        try {
            return Path.of("/proc/self/exe").toRealPath();
        } catch (IOException noProc) {
            throw new IllegalStateException("cannot tell where the executable lies; set " + VARIABLE, noProc);
        }
    }

    /** Initialised by the first call, by the class loader's own locking. */
    private static final class Loaded {
        static {
            Path directory = directory();
            loadGlue(directory.resolve(GLUE));
            List<String> differences = StepLayout.differences(abi());
            if (!differences.isEmpty()) {
                throw new IllegalStateException("the engine library in " + directory + " is of another version: "
                        + String.join("; ", differences));
            }
        }

        static void once() {}

        /**
         * Loads the JNI glue, which brings the engine with it; without JavaCPP's own loader, which searches every jar for
         * alternatives when a library cannot be loaded. A library serves one class loader: where another has it, as after
         * a live reload, this one gets a copy of the glue; the engine behind it is the same.
         */
        private static void loadGlue(Path glue) {
            try {
                System.load(glue.toString());
            } catch (UnsatisfiedLinkError taken) {
                if (!String.valueOf(taken.getMessage()).contains("another classloader")) {
                    throw taken;
                }
                System.load(copyOf(glue).toString());
            }
        }

        private static Path copyOf(Path glue) {
            try {
                Path copy = Files.createTempFile("chorale-", "-" + GLUE);
                copy.toFile().deleteOnExit();
                return Files.copy(glue, copy, StandardCopyOption.REPLACE_EXISTING);
            } catch (IOException failed) {
                throw new IllegalStateException("cannot copy " + glue + " for a second class loader", failed);
            }
        }
    }
}
