package io.chorale.boot;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.api.SamplingDefaults;
import io.quarkus.runtime.configuration.ConfigurationException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ModelDirectoryTest {
    @TempDir
    Path folder;

    private SamplingDefaults defaults(String json) throws IOException {
        Files.writeString(folder.resolve("generation_config.json"), json);
        return ModelDirectory.samplingDefaults(folder);
    }

    @Test
    void shouldTakeFromTheCheckpointWhatItSays() throws IOException {
        assertEquals(SamplingDefaults.OPENAI, ModelDirectory.samplingDefaults(folder));
        assertEquals(SamplingDefaults.OPENAI, defaults("{}"));
        assertEquals(new SamplingDefaults(0.7f, 20, 0.8f, 0.1f, 1.05f), defaults("""
                        {"temperature": 0.7, "top_k": 20, "top_p": 0.8, "min_p": 0.1, "repetition_penalty": 1.05,
                         "do_sample": true}"""));
        assertEquals(new SamplingDefaults(1, 0, 1, 0, 1), defaults("{\"top_k\": -1, \"temperature\": null}"));
    }

    @Test
    void shouldSayWhichFileIsNotJson() {
        ConfigurationException refused = assertThrows(ConfigurationException.class, () -> defaults("{\"top_p\": "));
        assertEquals(
                "chorale: cannot start: " + folder.resolve("generation_config.json")
                        + ": is not valid JSON: it ends too early (line 1, column 11)",
                refused.getMessage());
    }

    @Test
    void shouldSayWhichFileAsksForNonsense() {
        ConfigurationException refused = assertThrows(ConfigurationException.class, () -> defaults("{\"top_p\": 1.5}"));
        assertTrue(
                String.valueOf(refused.getMessage()).contains("generation_config.json: top_p must be"),
                refused.getMessage());
    }
}
