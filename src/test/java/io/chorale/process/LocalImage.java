package io.chorale.process;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.chorale.testing.Command;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * The last stage of a Dockerfile, built by buildah without a registry: what earlier stages would have made is this build's,
 * and under it lies, instead of a distribution, what the dynamic linker needs of this machine, and curl.
 */
final class LocalImage {
    private static final String BASE = "localhost/base";
    private static final String NAME = "localhost/chorale";
    private static final Pattern LINKED = Pattern.compile("(/\\S+) \\(0x");

    private final Path folder;

    private LocalImage(Path folder) {
        this.folder = folder;
    }

    /** @param folder for everything that is made */
    static LocalImage build(Path dockerfile, Path executable, Path folder) throws IOException {
        LocalImage image = new LocalImage(folder);
        image.makeBase(executable);
        image.makeContext(dockerfile, executable);
        image.buildah(
                "bud",
                "--isolation",
                "chroot",
                "-t",
                NAME,
                folder.resolve("context").toString());
        return image;
    }

    private void makeBase(Path executable) throws IOException {
        List<String> ldd = new ArrayList<>(List.of("ldd", "/usr/bin/curl", executable.toString()));
        libraries().forEach(library -> ldd.add(library.toString()));
        TreeSet<String> files = new TreeSet<>(List.of("/usr/bin/curl"));
        Path here = Path.of("").toAbsolutePath();
        LINKED.matcher(said(ldd))
                .results()
                .map((MatchResult file) -> file.group(1))
                .filter(file -> !Path.of(file).startsWith(here)) // ours find one another in the image
                .forEach(files::add);
        Path root = folder.resolve("root");
        for (String file : files) {
            copy(Path.of(file), root.resolve(file.substring(1)));
        }
        Files.createDirectory(
                root.resolve("tmp"),
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwxr-xr-x")));
        String container = buildah("from", "scratch").strip();
        buildah("copy", container, root.toString(), "/");
        buildah("commit", container, BASE);
        buildah("rm", container);
    }

    private void makeContext(Path dockerfile, Path executable) throws IOException {
        Path context = folder.resolve("context");
        Path target = context.resolve("build/target");
        copy(executable, target.resolve(executable.getFileName()));
        for (Path library : libraries()) {
            copy(library, target.resolve("native").resolve(library.getFileName()));
        }
        copy(Path.of("target/bom.json"), target.resolve("bom.json"));
        Files.createDirectory(context.resolve("plugin"));
        Path models = Path.of("models");
        try (Stream<Path> files = Files.walk(models)) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                copy(file, context.resolve(file));
            }
        }
        String text = Files.readString(dockerfile);
        Files.writeString(
                context.resolve("Dockerfile"),
                text.substring(text.lastIndexOf("\nFROM ") + 1)
                        .replaceFirst("FROM .*", "FROM " + BASE)
                        .replaceAll("(?m)^RUN microdnf .*$", "")
                        .replaceAll("--from=(build|plugin) /", ""));
    }

    /** What the image has of them: its plugin comes from a stage of its own. */
    private static List<Path> libraries() throws IOException {
        try (Stream<Path> files = Files.list(Path.of("target/native"))) {
            return files.filter(file -> file.toString().endsWith(".so"))
                    .filter(file -> !file.endsWith("libchorale_cuda.so"))
                    .map(Path::toAbsolutePath)
                    .sorted()
                    .toList();
        }
    }

    private static void copy(Path from, Path to) throws IOException {
        Files.createDirectories(to.getParent());
        Files.copy(from, to);
    }

    /** A container of it; its name. */
    String container() throws IOException {
        return buildah("from", NAME).strip();
    }

    /** Where the files of a container are. */
    Path files(String container) throws IOException {
        return Path.of(buildah("mount", container).strip());
    }

    /** What a template of Go says of the image. */
    String inspect(String template) throws IOException {
        return buildah("inspect", "--type", "image", "--format", template, NAME).strip();
    }

    /** The command that runs something in a container, as its user, where only {@code tmp} can be written to. */
    List<String> run(String container, Path tmp, List<String> command) {
        List<String> run = program();
        run.addAll(List.of("run", "--isolation", "chroot", "-v", tmp + ":/tmp", container, "--"));
        run.addAll(command);
        return run;
    }

    private String buildah(String... arguments) throws IOException {
        List<String> command = program();
        command.addAll(List.of(arguments));
        return said(command);
    }

    private List<String> program() {
        return new ArrayList<>(List.of(
                "buildah",
                "--storage-driver",
                "vfs",
                "--root",
                folder.resolve("store").toString(),
                "--runroot",
                folder.resolve("run").toString()));
    }

    private static String said(List<String> command) throws IOException {
        Command.Result result = Command.run(120, command);
        assertEquals(0, result.status(), () -> command + "\n" + result.output() + result.errors());
        return result.output();
    }
}
