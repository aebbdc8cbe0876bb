package io.chorale.adapter;

import io.chorale.engine.AdapterWeights;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.IntFunction;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * A folder of adapters: each sub-folder one, its name the name that clients ask for. One that is broken is registered with
 * what is wrong with it, so that a request for it can say so; it keeps nobody else from being served.
 */
public final class AdapterFolder implements AdapterSource {
    /** What may stand in a URL, a file name and a metric without quoting. */
    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,127}");

    private final ModelShape base;

    public AdapterFolder(ModelShape base) {
        this.base = base;
    }

    /** Reads every sub-folder that is not hidden and registers what it finds, in the order of names. */
    public List<AdapterEntry> scan(Path folder, AdapterRegistry registry) throws FileRejectedException {
        List<Path> directories;
        try (Stream<Path> entries = Files.list(folder)) {
            directories = entries.filter(Files::isDirectory)
                    .filter(directory -> !directory.getFileName().toString().startsWith("."))
                    .sorted()
                    .toList();
        } catch (IOException unreadable) {
            throw new FileRejectedException(folder + ": cannot be read: " + JsonText.reason(unreadable));
        }
        // Thousands of small headers: the folders are read by all cores at once, in order.
        List<IntFunction<AdapterEntry>> entries =
                directories.parallelStream().map(this::examine).toList();
        return registry.addAll(entries);
    }

    /** Reads one adapter's folder; what comes out waits only for its version. */
    public IntFunction<AdapterEntry> examine(Path directory) {
        String name = directory.getFileName().toString();
        try {
            if (!NAME.matcher(name).matches()) {
                throw new FileRejectedException(directory + ": the folder's name is the adapter's name and must be 1 to"
                        + " 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit");
            }
            PeftAdapter adapter = PeftAdapter.open(directory, base);
            // Not the adapter itself: thousands of these wait together, and a header may be large.
            int rank = adapter.rank();
            List<String> targets = adapter.targets();
            long weightBytes = adapter.weightBytes();
            String digest = adapter.digest();
            return version -> new AdapterEntry(version, name, directory, rank, targets, weightBytes, digest, List.of());
        } catch (FileRejectedException rejected) {
            return version ->
                    new AdapterEntry(version, name, directory, 0, List.of(), 0, "", List.copyOf(rejected.problems()));
        }
    }

    @Override
    public AdapterWeights read(AdapterEntry entry) throws FileRejectedException {
        PeftAdapter adapter = PeftAdapter.open(entry.directory(), base);
        if (!adapter.digest().equals(entry.digest())) {
            throw new FileRejectedException(
                    entry.directory() + ": its files have changed since the adapter was registered");
        }
        return adapter.weights(entry.name());
    }
}
