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
import java.util.stream.Stream;

/**
 * A folder with a package.json and scripts: its packages are installed beside copies of the scripts when a test first
 * asks for them and again when that file changes. Several builds may ask at once.
 */
public final class NpmFolder {
    private static final long INSTALL_SECONDS_MAX = 600;
    private static final long RUN_SECONDS_MAX = 300;
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Path source;
    private final Path target;
    private final List<String> options;

    /** @param options of {@code npm install}, besides the usual ones */
    public NpmFolder(Path source, Path target, String... options) {
        this.source = source;
        this.target = target;
        this.options = List.of(options);
    }

    /** The folder of an installed package. */
    public Path module(String name) throws IOException {
        return install().resolve("node_modules").resolve(name);
    }

    /** Runs a script with JSON as its standard input, and reads JSON from its output. */
    public JsonNode run(String script, Object input) throws IOException {
        Path folder = install();
        Path inputFile = Files.createTempFile("npm", ".in.json");
        try {
            JSON.writeValue(inputFile.toFile(), input);
            return JSON.readTree(execute(folder, inputFile, RUN_SECONDS_MAX, List.of("node", script)));
        } finally {
            Files.delete(inputFile);
        }
    }

    /** Runs a script that uses node's test runner; fails with what it printed when a test in it does. */
    public void test(String script, String... arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of("node", "--test-reporter=tap", script));
        command.addAll(List.of(arguments));
        execute(install(), Path.of("/dev/null"), RUN_SECONDS_MAX, command);
    }

    private synchronized Path install() throws IOException {
        Files.createDirectories(target);
        Path installed = target.resolve("installed.json");
        String wanted = Files.readString(source.resolve("package.json"));
        try (FileChannel channel =
                        FileChannel.open(target.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                FileLock lock = channel.lock();
                Stream<Path> files = Files.list(source)) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                Files.copy(file, target.resolve(file.getFileName()), StandardCopyOption.REPLACE_EXISTING);
            }
            if (!Files.exists(installed) || !Files.readString(installed).equals(wanted)) {
                List<String> command = new ArrayList<>(List.of(
                        "npm",
                        "install",
                        "--no-package-lock",
                        "--no-audit",
                        "--no-fund",
                        "--ignore-scripts",
                        "--loglevel=error"));
                command.addAll(options);
                execute(target, Path.of("/dev/null"), INSTALL_SECONDS_MAX, command);
                Files.writeString(installed, wanted);
            }
            lock.release();
        }
        return target;
    }

    private static String execute(Path folder, Path input, long secondsMax, List<String> command) throws IOException {
        Command.Result result = Command.run(folder, input, secondsMax, command);
        if (result.status() != 0) {
            throw new IOException(
                    command + " ended with " + result.status() + ": " + result.errors() + result.output());
        }
        return result.output();
    }
}
