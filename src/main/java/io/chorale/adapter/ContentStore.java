package io.chorale.adapter;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Set;
import java.util.UUID;
import java.util.stream.Stream;

/**
 * The adapters' files that are the server's own, a folder for each content, named after its digest: what was uploaded or
 * fetched, and links to what was served from other folders, so that one can go back to it.
 */
final class ContentStore {
    private static final Logger LOG = System.getLogger(ContentStore.class.getName());
    private static final String CONTENT = "content";
    private static final String INCOMING = "incoming";

    private final Path content;
    private final Path incoming;

    /** Makes the folders where they are missing; what came in and was never finished goes. */
    ContentStore(Path folder) throws IOException {
        content = Files.createDirectories(folder.resolve(CONTENT));
        incoming = folder.resolve(INCOMING);
        delete(incoming);
        Files.createDirectories(incoming);
    }

    /** An empty folder for files that are to be verified. */
    Path newFolder() throws IOException {
        return Files.createDirectory(incoming.resolve(UUID.randomUUID().toString()));
    }

    Path folderOf(String digest) {
        return content.resolve(digest);
    }

    /** Takes a verified folder over; its place from now on is what comes back. */
    Path adopt(Path folder, String digest) throws IOException {
        Path home = folderOf(digest);
        try {
            Files.move(folder, home, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException there) {
            if (!Files.exists(home)) {
                throw there;
            }
            delete(folder);
        }
        return home;
    }

    /**
     * Keeps links to a verified adapter's files, which stay when their own folder gets others.
     * Where that is impossible, as from another disk, they are not kept: one cannot go back to that version once its
     * folder has changed, and is told so.
     */
    void keep(Path folder, String digest) {
        if (Files.isDirectory(folderOf(digest))) {
            return;
        }
        try {
            Path made = newFolder();
            try {
                // A configuration is often edited in place: a link to it would change with it.
                Files.copy(folder.resolve(PeftAdapter.CONFIG), made.resolve(PeftAdapter.CONFIG));
                Files.createLink(
                        made.resolve(PeftAdapter.WEIGHTS),
                        folder.resolve(PeftAdapter.WEIGHTS).toRealPath());
                adopt(made, digest);
            } finally {
                delete(made);
            }
        } catch (IOException | UnsupportedOperationException impossible) {
            LOG.log(Level.DEBUG, "{0} is not kept: {1}", folder, impossible.getMessage());
        }
    }

    void forget(String digest) {
        if (!digest.isEmpty()) {
            try {
                delete(folderOf(digest));
            } catch (IOException stays) {
                // It goes with the next start, when nobody refers to it.
            }
        }
    }

    /** Deletes all contents but these. */
    void retainOnly(Set<String> digests) throws IOException {
        try (Stream<Path> folders = Files.list(content)) {
            for (Path folder : folders.toList()) {
                if (!digests.contains(folder.getFileName().toString())) {
                    delete(folder);
                }
            }
        }
    }

    static void delete(Path folder) throws IOException {
        if (!Files.exists(folder)) {
            return;
        }
        try (Stream<Path> all = Files.walk(folder)) {
            all.sorted((a, b) -> b.compareTo(a)).forEach(path -> {
                try {
                    Files.deleteIfExists(path);
                } catch (IOException failed) {
                    throw new UncheckedIOException(failed);
                }
            });
        } catch (UncheckedIOException failed) {
            throw failed.getCause();
        }
    }
}
