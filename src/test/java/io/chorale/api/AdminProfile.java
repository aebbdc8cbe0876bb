package io.chorale.api;

import io.chorale.adapter.source.MockHub;
import io.quarkus.test.junit.QuarkusTestProfile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.Map;
import java.util.stream.Stream;

/** The bundled model without its tokenizer on a simulated engine, with a key for administration and folders of its own. */
public class AdminProfile implements QuarkusTestProfile {
    static final Path ROOT = Path.of("target/test-models/admin").toAbsolutePath();
    static final Path WATCHED = ROOT.resolve("adapters");
    static final Path MORE = ROOT.resolve("more");
    static final Path OUTSIDE = ROOT.resolve("outside");
    public static final String KEY = "secret-key";
    static final long UPLOAD_BYTES_MAX = 2 << 20;

    @Override
    public Map<String, String> getConfigOverrides() {
        MockHub hub;
        try {
            hub = new MockHub();
            delete(ROOT);
            Path fable = Path.of("models/fable");
            copy(fable.resolve("model"), ROOT.resolve("model"), "config.json", "model.safetensors");
            adapter("pirate", WATCHED.resolve("pirate"));
            adapter("moral", MORE.resolve("moral"));
            adapter("robot", MORE.resolve("robot"));
            adapter("shout", MORE.resolve("shout"));
            adapter("json", OUTSIDE.resolve("json"));
            Files.createSymbolicLink(MORE.resolve("sneaky"), OUTSIDE.resolve("json"));
            Files.createDirectories(MORE.resolve("linked"));
            for (String file : new String[] {"adapter_config.json", "adapter_model.safetensors"}) {
                Files.createSymbolicLink(
                        MORE.resolve("linked").resolve(file),
                        OUTSIDE.resolve("json").resolve(file));
            }
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        }
        return Map.ofEntries(
                Map.entry("chorale.model.dir", ROOT.resolve("model").toString()),
                Map.entry("chorale.model.name", "base"),
                Map.entry("chorale.engine.kind", "simulated"),
                Map.entry("chorale.engine.simulated.step", "2MS"),
                Map.entry("chorale.engine.simulated.stop-probability", "0"),
                Map.entry("chorale.adapters.admin-key", KEY),
                Map.entry("chorale.adapters.dir", WATCHED.toString()),
                Map.entry("chorale.adapters.roots", MORE.toString()),
                Map.entry("chorale.adapters.state-dir", ROOT.resolve("state").toString()),
                Map.entry("chorale.adapters.watch", "100MS"),
                Map.entry("chorale.sources.allowed", "hf://," + hub.url() + "/files/"),
                Map.entry("chorale.sources.hub", hub.url()),
                Map.entry("chorale.sources.stall-timeout", "300MS"),
                Map.entry("chorale.sources.retry-pause", "10MS"),
                Map.entry("chorale.sources.retries", "2"),
                // An archive is larger than any other body may be.
                Map.entry("chorale.stream.body-bytes-max", "64K"),
                Map.entry("chorale.adapters.host-bytes", "3M"),
                Map.entry("chorale.adapters.upload-bytes-max", String.valueOf(UPLOAD_BYTES_MAX)));
    }

    static void adapter(String name, Path to) throws IOException {
        copy(Path.of("models/fable/adapters").resolve(name), to, "adapter_config.json", "adapter_model.safetensors");
    }

    private static void copy(Path from, Path to, String... files) throws IOException {
        Files.createDirectories(to);
        for (String file : files) {
            Files.copy(from.resolve(file), to.resolve(file));
        }
    }

    private static void delete(Path folder) throws IOException {
        if (Files.exists(folder)) {
            try (Stream<Path> all = Files.walk(folder)) {
                for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
                    Files.delete(path);
                }
            }
        }
    }
}
