package io.chorale.testing;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * The packages of {@code src/test/npm/package.json}, installed into {@code target/npm} when a test first asks for them
 * and again when that file changes. Several builds may ask at once.
 */
public final class Npm {
    private static final Path SOURCE = Path.of("src/test/npm");
    private static final Path TARGET = Path.of("target/npm");
    private static final long INSTALL_SECONDS_MAX = 600;
    private static final long RUN_SECONDS_MAX = 300;
    private static final ObjectMapper JSON = new ObjectMapper();

    private Npm() {}

    /** The folder of an installed package. */
    public static Path module(String name) throws IOException {
        return install().resolve("node_modules").resolve(name);
    }

    /** Runs a script of {@code src/test/npm} with JSON as its standard input, and reads JSON from its output. */
    public static JsonNode run(String script, Object input) throws IOException {
        Path folder = install();
        Path inputFile = Files.createTempFile("npm", ".in.json");
        try {
            JSON.writeValue(inputFile.toFile(), input);
            return JSON.readTree(execute(folder, inputFile, RUN_SECONDS_MAX, List.of("node", script)));
        } finally {
            Files.delete(inputFile);
        }
    }

    /** Runs a script of {@code src/test/npm} that uses node's test runner; fails with what it printed when a test in it does. */
    public static void test(String script, String... arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of("node", "--test-reporter=tap", script));
        command.addAll(List.of(arguments));
        execute(install(), Path.of("/dev/null"), RUN_SECONDS_MAX, command);
    }

    private static synchronized Path install() throws IOException {
        Files.createDirectories(TARGET);
        Path installed = TARGET.resolve("installed.json");
        String wanted = Files.readString(SOURCE.resolve("package.json"));
        try (FileChannel channel =
                        FileChannel.open(TARGET.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                FileLock lock = channel.lock();
                Stream<Path> files = Files.list(SOURCE)) {
            for (Path file : files.toList()) {
                Files.copy(file, TARGET.resolve(file.getFileName()), StandardCopyOption.REPLACE_EXISTING);
            }
            if (!Files.exists(installed) || !Files.readString(installed).equals(wanted)) {
                execute(
                        TARGET,
                        Path.of("/dev/null"),
                        INSTALL_SECONDS_MAX,
                        List.of(
                                "npm",
                                "install",
                                "--no-package-lock",
                                "--no-audit",
                                "--no-fund",
                                "--ignore-scripts",
                                "--loglevel=error"));
                Files.writeString(installed, wanted);
            }
            lock.release();
        }
        return TARGET;
    }

    private static String execute(Path folder, Path input, long secondsMax, List<String> command) throws IOException {
        Path output = Files.createTempFile("npm", ".out");
        Path errors = Files.createTempFile("npm", ".err");
        try {
            Process process = start(folder, input, output, errors, command);
            if (!process.waitFor(secondsMax, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                throw new IOException(command + " did not end within " + secondsMax + " s");
            }
            if (process.exitValue() != 0) {
                throw new IOException(command + " ended with " + process.exitValue() + ": " + Files.readString(errors)
                        + Files.readString(output));
            }
            return Files.readString(output);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException(command + " was interrupted", e);
        } finally {
            Files.delete(output);
            Files.delete(errors);
        }
    }

    private static Process start(Path folder, Path input, Path output, Path errors, List<String> command)
            throws IOException {
        try {
            return new ProcessBuilder(command)
                    .directory(folder.toFile())
                    .redirectInput(input.toFile())
                    .redirectOutput(output.toFile())
                    .redirectError(errors.toFile())
                    .start();
        } catch (IOException e) {
            throw new IOException(
                    "this test needs '" + command.getFirst() + "': install Node.js 20 or newer with npm"
                            + " (Debian: apt-get install nodejs npm)",
                    e);
        }
    }
}
