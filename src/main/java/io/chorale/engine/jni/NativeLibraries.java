package io.chorale.engine.jni;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.Loader;

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
            // Read by JavaCPP's Loader when its class is initialised: load in place, unpack nothing.
            System.setProperty("org.bytedeco.javacpp.platform.linkpath", directory.toString());
            System.setProperty("org.bytedeco.javacpp.pathsFirst", "true");
            System.setProperty("org.bytedeco.javacpp.cacheLibraries", "false");
            // By default JavaCPP throws once the process is four times as large as the heap, as ours always is.
            System.setProperty("org.bytedeco.javacpp.maxBytes", "0");
            System.setProperty("org.bytedeco.javacpp.maxPhysicalBytes", "0");
            Loader.load(ChoraleNative.class);
            List<String> differences = StepLayout.differences(abi());
            if (!differences.isEmpty()) {
                throw new IllegalStateException("the engine library in " + directory + " is of another version: "
                        + String.join("; ", differences));
            }
        }

        static void once() {}
    }
}
