package io.chorale.api;

import io.quarkus.test.junit.QuarkusTestProfile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.HashMap;
import java.util.Map;

/** A simulated engine with two tenants, a plain adapter and an activated one. */
public class PrefixProfile implements QuarkusTestProfile {
    private static final Path FABLE = Path.of("models/fable/adapters/pirate");

    @Override
    public Map<String, String> getConfigOverrides() {
        Path adapters = Path.of("target/test-models/prefix/adapters");
        try {
            copy(adapters.resolve("plain"), "null");
            copy(adapters.resolve("activated"), "[7, 8]");
        } catch (IOException unreadable) {
            throw new UncheckedIOException(unreadable);
        }
        Map<String, String> settings = new HashMap<>(new TokensProfile().getConfigOverrides());
        settings.put("chorale.adapters.dir", adapters.toString());
        settings.put("chorale.tenants.acme.keys", "acme-1");
        settings.put("chorale.tenants.umbrella.keys", "umbrella-1");
        return settings;
    }

    private static void copy(Path to, String invocation) throws IOException {
        Files.createDirectories(to);
        String config = Files.readString(FABLE.resolve("adapter_config.json"));
        Files.writeString(
                to.resolve("adapter_config.json"),
                config.replace("\"alora_invocation_tokens\": null", "\"alora_invocation_tokens\": " + invocation));
        String weights = "adapter_model.safetensors";
        Files.copy(FABLE.resolve(weights), to.resolve(weights), StandardCopyOption.REPLACE_EXISTING);
    }
}
