package io.chorale.api;

import io.quarkus.test.junit.QuarkusTestProfile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.HashMap;
import java.util.Map;

/** Keys with names, some limited to adapters, in a file that is looked at while the server runs; and an audit log. */
public class AccessProfile implements QuarkusTestProfile {
    static final Path ROOT = Path.of("target/test-models/access").toAbsolutePath();
    static final Path LIMITS = ROOT.resolve("limits.properties");
    private static final Path DATA = ROOT.resolve("..data");
    static final Path AUDIT = ROOT.resolve("audit.log");

    static final String KEYS = """
            chorale.keys.everything.key=all-key
            chorale.keys.limited.key=limited-key
            chorale.keys.limited.adapters=pirate,canary
            chorale.keys.operator.key=operator-key
            chorale.keys.operator.admin=true
            chorale.tenants.default.queue-share=1
            """;

    @Override
    public Map<String, String> getConfigOverrides() {
        Map<String, String> settings = new HashMap<>(new TokensProfile().getConfigOverrides());
        try {
            Files.createDirectories(ROOT);
            Files.deleteIfExists(AUDIT);
            write(KEYS);
        } catch (IOException unwritable) {
            throw new UncheckedIOException(unwritable);
        }
        settings.put("smallrye.config.locations", LIMITS.toString());
        settings.put("chorale.lifecycle.reload-every", "50MS");
        settings.put("chorale.access.audit-file", AUDIT.toString());
        return settings;
    }

    /** In one stroke, as Kubernetes does with a mounted Secret: the file leads through ..data to the folder that holds now. */
    static void write(String text) throws IOException {
        Path folder = Files.createTempDirectory(ROOT, "..");
        Files.writeString(folder.resolve(LIMITS.getFileName()), text);
        Path next = ROOT.resolve("..data_tmp");
        Files.deleteIfExists(next);
        Files.createSymbolicLink(next, folder.getFileName());
        Files.move(next, DATA, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
        if (!Files.isSymbolicLink(LIMITS)) {
            Files.deleteIfExists(LIMITS);
            Files.createSymbolicLink(LIMITS, Path.of("..data").resolve(LIMITS.getFileName()));
        }
    }
}
