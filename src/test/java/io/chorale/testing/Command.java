package io.chorale.testing;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Runs other programs, to their end and within a time. */
public final class Command {
    private Command() {}

    /** What a program said. */
    public record Result(int status, String output, String errors) {}

    /** Runs a program without input in the present folder. */
    public static Result run(long secondsMax, List<String> command) throws IOException {
        return run(Path.of(""), Path.of("/dev/null"), secondsMax, command);
    }

    /** @throws IOException when the program is missing, or does not end in time */
    public static Result run(Path folder, Path input, long secondsMax, List<String> command) throws IOException {
        Path output = Files.createTempFile("command", ".out");
        Path errors = Files.createTempFile("command", ".err");
        try {
            Process process = start(folder, input, output, errors, command);
            if (!process.waitFor(secondsMax, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                throw new IOException(command + " did not end within " + secondsMax + " s");
            }
            return new Result(process.exitValue(), Files.readString(output), Files.readString(errors));
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
                    .directory(folder.toAbsolutePath().toFile())
                    .redirectInput(input.toFile())
                    .redirectOutput(output.toFile())
                    .redirectError(errors.toFile())
                    .start();
        } catch (IOException e) {
            throw new IOException(
                    "this test needs '" + command.getFirst() + "', which ./chorale test installs: Node.js 20 or newer"
                            + " with npm, and promtool (Debian: apt-get install nodejs npm prometheus)",
                    e);
        }
    }
}
