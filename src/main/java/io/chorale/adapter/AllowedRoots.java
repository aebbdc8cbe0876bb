package io.chorale.adapter;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;

/** The folders that a client may name a folder in. Where a link leads counts, not where it lies. */
final class AllowedRoots {
    private final List<Path> roots;

    AllowedRoots(List<Path> roots) {
        this.roots = roots.stream()
                .map(root -> root.toAbsolutePath().normalize())
                .distinct()
                .toList();
    }

    /**
     * The real folder of an adapter that a client named by its path, or by its name in one of the roots.
     *
     * @throws AdapterRefusal FORBIDDEN for what lies outside, whether it is there or not; NOT_FOUND
     */
    Path resolve(String name) throws AdapterRefusal {
        Path path;
        try {
            path = Path.of(name);
        } catch (InvalidPathException malformed) {
            throw new AdapterRefusal(AdapterRefusal.Kind.MALFORMED, "'" + shown(name) + "' is not a path");
        }
        List<Path> candidates = path.isAbsolute()
                ? List.of(path.normalize())
                : roots.stream().map(root -> root.resolve(path).normalize()).toList();
        boolean inside = false;
        for (Path candidate : candidates) {
            if (roots.stream().noneMatch(candidate::startsWith)) {
                continue;
            }
            inside = true;
            if (Files.isDirectory(candidate)) {
                return real(candidate, name);
            }
        }
        if (!inside) {
            throw outside(name);
        }
        throw new AdapterRefusal(AdapterRefusal.Kind.NOT_FOUND, "there is no folder '" + shown(name) + "'");
    }

    private Path real(Path candidate, String name) throws AdapterRefusal {
        try {
            Path real = inside(candidate, name);
            for (String file : List.of(PeftAdapter.CONFIG, PeftAdapter.WEIGHTS)) {
                if (Files.exists(real.resolve(file))) {
                    inside(real.resolve(file), name);
                }
            }
            return real;
        } catch (IOException gone) {
            throw new AdapterRefusal(
                    AdapterRefusal.Kind.NOT_FOUND, "'" + shown(name) + "' cannot be read: " + JsonText.reason(gone));
        }
    }

    private Path inside(Path path, String name) throws IOException, AdapterRefusal {
        Path real = path.toRealPath();
        for (Path root : roots) {
            if (Files.exists(root) && real.startsWith(root.toRealPath())) {
                return real;
            }
        }
        throw outside(name);
    }

    private static AdapterRefusal outside(String name) {
        return new AdapterRefusal(
                AdapterRefusal.Kind.FORBIDDEN,
                "'" + shown(name) + "' is outside the folders that adapters may come from"
                        + " (chorale.adapters.dir and chorale.adapters.roots)");
    }

    private static String shown(String name) {
        return name.length() > 200 ? name.substring(0, 200) + "..." : name;
    }
}
