package io.chorale.testing;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Path;

/** The packages and scripts of {@code src/test/npm}: clients, browsers, references. */
public final class Npm {
    private static final NpmFolder FOLDER = new NpmFolder(Path.of("src/test/npm"), Path.of("target/npm"));

    private Npm() {}

    /** The folder of an installed package. */
    public static Path module(String name) throws IOException {
        return FOLDER.module(name);
    }

    /** Runs a script of {@code src/test/npm} with JSON as its standard input, and reads JSON from its output. */
    public static JsonNode run(String script, Object input) throws IOException {
        return FOLDER.run(script, input);
    }

    /** Runs a script of {@code src/test/npm} that uses node's test runner; fails with what it printed when a test in it does. */
    public static void test(String script, String... arguments) throws IOException {
        FOLDER.test(script, arguments);
    }
}
