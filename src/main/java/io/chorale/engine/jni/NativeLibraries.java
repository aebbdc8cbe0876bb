package io.chorale.engine.jni;

import io.chorale.platform.LibraryFolder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Loads the engine's shared libraries from the {@link LibraryFolder}. */
final class NativeLibraries {
    private static final String GLUE = System.mapLibraryName("jnichorale");

    private NativeLibraries() {}

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

    /** Initialised by the first call, by the class loader's own locking. */
    private static final class Loaded {
        static {
            Path directory = LibraryFolder.path();
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
