package io.chorale.api;

import io.quarkus.test.junit.QuarkusTestProfile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Map;

/**
 * A checkpoint without tokenizer files on a simulated engine, one adapter that is whole and one that is not, and small
 * bounds.
 */
public class TokensProfile implements QuarkusTestProfile {
    static final Path ROOT = Path.of("target/test-models/tokens");
    static final int REQUESTS_MAX = 8;
    static final int REPLAY_EVENTS_MAX = 1_024;
    static final int BODY_BYTES_MAX = 64 << 10;

    @Override
    public Map<String, String> getConfigOverrides() {
        return Map.ofEntries(
                Map.entry("chorale.model.dir", modelWithoutTokenizer().toString()),
                Map.entry("chorale.model.name", "tokens"),
                Map.entry("chorale.engine.kind", "simulated"),
                Map.entry("chorale.adapters.watch", "0S"),
                Map.entry("chorale.engine.simulated.step", "2MS"),
                Map.entry("chorale.engine.simulated.stop-probability", "0"),
                Map.entry("chorale.admission.requests-max", String.valueOf(REQUESTS_MAX)),
                Map.entry("chorale.stream.body-bytes-max", String.valueOf(BODY_BYTES_MAX)),
                // Half a second of tokens: an event loop that had to wait for a core is no client that does not read.
                Map.entry("chorale.stream.buffer-events-max", "256"),
                Map.entry("chorale.stream.choices-max", "16"),
                // More than one answer has: how late somebody comes to listen decides nothing.
                Map.entry("chorale.stream.replay-events-max", String.valueOf(REPLAY_EVENTS_MAX)),
                Map.entry("chorale.stream.resumable-max", "4"),
                Map.entry("chorale.stream.resume-grace", "1S"));
    }

    /**
     * The bundled model without its tokenizer, with adapters beside it: one whole, one broken, one to be broken. No native library is wanted for it: one
     * serves one class loader, and each profile has another.
     */
    static Path modelWithoutTokenizer() {
        try {
            Path fable = Path.of("models/fable");
            copy(fable.resolve("model"), ROOT.resolve("model"), "config.json", "model.safetensors");
            copy(
                    fable.resolve("adapters/pirate"),
                    ROOT.resolve("adapters/pirate"),
                    "adapter_config.json",
                    "adapter_model.safetensors");
            copy(
                    fable.resolve("adapters/moral"),
                    ROOT.resolve("adapters/fragile"),
                    "adapter_config.json",
                    "adapter_model.safetensors");
            copy(fable.resolve("adapters/moral"), ROOT.resolve("adapters/broken"), "adapter_config.json");
            Files.writeString(ROOT.resolve("adapters/broken/adapter_model.safetensors"), "no tensors");
            return ROOT.resolve("model");
        } catch (IOException unreadable) {
            throw new UncheckedIOException(unreadable);
        }
    }

    private static void copy(Path from, Path to, String... files) throws IOException {
        Files.createDirectories(to);
        for (String file : files) {
            Files.copy(
                    from.resolve(file),
                    to.resolve(file),
                    StandardCopyOption.REPLACE_EXISTING,
                    StandardCopyOption.COPY_ATTRIBUTES);
        }
    }
}
