package io.chorale.adapter;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Defaults by family, both forms of configuration files, and refusals by name. */
class ModelConfigTest {
    @TempDir
    Path folder;

    private ModelConfig read(String... changes) throws Exception {
        Map<String, String> config = TestFolders.modelConfig();
        for (int i = 0; i < changes.length; i += 2) {
            if (changes[i + 1].isEmpty()) {
                config.remove(changes[i]);
            } else {
                config.put(changes[i], changes[i + 1]);
            }
        }
        Path file = Files.writeString(folder.resolve("config.json"), TestFolders.json(config));
        return ModelConfig.read(file);
    }

    @Test
    void llamaHasAsManyKeyHeadsAsQueryHeadsUnlessItSaysSo() throws Exception {
        ModelConfig config = read("num_key_value_heads", "");
        assertEquals(new ModelShape("LlamaForCausalLM", 2, 8, 12, 2, 2, 4, 16, 2048), config.shape());
        assertEquals(1e-6f, config.rmsEps());
        assertFalse(config.qkvBias() || config.outBias() || config.mlpBias() || config.qkNorm() || config.tied());
        assertArrayEquals(new int[2], config.windows());
    }

    @Test
    void mistralHasEightKeyHeadsAndAWindowUnlessItSaysSo() throws Exception {
        String mistral = "[\"MistralForCausalLM\"]";
        ModelConfig plain = read(
                "architectures",
                mistral,
                "num_key_value_heads",
                "",
                "num_attention_heads",
                "8",
                "head_dim",
                "4",
                "attention_bias",
                "true");
        assertEquals(8, plain.shape().kvHeads());
        assertFalse(plain.qkvBias(), "Mistral has no such setting");
        assertArrayEquals(new int[] {4096, 4096}, plain.windows());
        assertArrayEquals(
                new int[2],
                read("architectures", mistral, "sliding_window", "null").windows());
        assertArrayEquals(
                new int[] {7, 7},
                read("architectures", mistral, "sliding_window", "7").windows());
    }

    @Test
    void qwenHasWindowsOnlyWhereItUsesThem() throws Exception {
        String qwen = "[\"Qwen2ForCausalLM\"]";
        ModelConfig plain = read("architectures", qwen, "sliding_window", "64");
        assertTrue(plain.qkvBias() && !plain.outBias() && !plain.qkNorm());
        assertArrayEquals(new int[2], plain.windows());
        String[] used = {
            "architectures", qwen, "sliding_window", "64", "use_sliding_window", "true", "max_window_layers", "1"
        };
        assertArrayEquals(new int[] {0, 64}, read(used).windows());
        used[6] = "layer_types";
        used[7] = "[\"sliding_attention\", \"full_attention\"]";
        assertArrayEquals(new int[] {64, 0}, read(used).windows());
    }

    @Test
    void qwen3HasNormsAndHeadsOf128() throws Exception {
        ModelConfig config = read("architectures", "[\"Qwen3ForCausalLM\"]", "attention_bias", "true");
        assertTrue(config.qkNorm() && config.qkvBias() && config.outBias());
        assertEquals(128, config.shape().headDim());
    }

    @Test
    void theOldAndTheNewFormOfRotarySettingsAreTheSame() throws Exception {
        String scaling = "\"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0,"
                + " \"original_max_position_embeddings\": 128";
        ModelConfig old = read("rope_theta", "500000.0", "rope_scaling", "{\"type\": \"llama3\", " + scaling + "}");
        ModelConfig current =
                read("rope_parameters", "{\"rope_type\": \"llama3\", \"rope_theta\": 500000.0, " + scaling + "}");
        assertArrayEquals(old.rotary().inverseFrequencies(), current.rotary().inverseFrequencies());
        assertEquals(1, old.rotary().inverseFrequencies()[0]);
    }

    @Test
    void theFamilyIsKnownByItsModelTypeToo() throws Exception {
        assertEquals(
                "Qwen2ForCausalLM",
                read("architectures", "", "model_type", "\"qwen2\"").shape().family());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "architectures | [\"GPT2LMHeadModel\"] | 'architectures' is \"GPT2LMHeadModel\", which is not served",
                "architectures | [] | 'model_type' is \"\", which is not served",
                "hidden_act | \"gelu\" | 'hidden_act' is \"gelu\"; only silu is served",
                "quantization_config | {\"quant_method\": \"gptq\"} | the weights are quantised (gptq)",
                "rope_scaling | {\"type\": \"dynamic\", \"factor\": 2} | 'rope_scaling.rope_type' is \"dynamic\"; default, linear",
                "rope_parameters | {\"rope_type\": \"longrope\"} | 'rope_parameters.rope_type' is \"longrope\"",
                "rope_parameters | {\"full_attention\": {}} | rotary settings by layer type are not served",
                "rope_scaling | {\"type\": \"linear\"} | 'rope_scaling.factor' is missing",
                "rope_scaling | {\"type\": \"linear\", \"factor\": 0} | 'rope_scaling.factor' must be a positive number, not 0",
                "rope_scaling | {\"type\": \"yarn\"} | 'rope_scaling.factor' is missing",
                "partial_rotary_factor | 0.5 | partly rotated heads are not served",
                "hidden_size | \"8\" | 'hidden_size' must be an integer, not \"8\"",
                "hidden_size | 8.5 | 'hidden_size' must be an integer from 1 to 1048576, not 8.5",
                "hidden_size | 9 | 'hidden_size' is 9, not a multiple of the 2 heads",
                "hidden_size | null | 'hidden_size' is missing",
                "num_hidden_layers | 100000 | must be an integer from 1 to 1024, not 100000",
                "num_attention_heads | 0 | must be an integer from 1 to 4096, not 0",
                "num_key_value_heads | 3 | is 3, which does not divide the 2 query heads",
                "head_dim | 5 | 'head_dim' is 5; dimensions are rotated in pairs",
                "head_dim | 4096 | `` ",
                "vocab_size | -1 | must be an integer from 1 to 16777216, not -1",
                "rms_norm_eps | 0 | must be between 0 and 1, not 0",
                "tie_word_embeddings | 1 | must be true or false, not 1",
                "rope_theta | [1] | 'rope_theta' must be a number, not a list of 1",
            })
    void whatIsNotServedIsRefusedByName(String setting, String value, String message) throws Exception {
        if (message.isEmpty()) {
            assertEquals(Integer.parseInt(value), read(setting, value).shape().headDim());
            return;
        }
        FileRejectedException rejected = assertThrows(FileRejectedException.class, () -> read(setting, value));
        assertTrue(
                rejected.problems().getFirst().contains("config.json: "),
                rejected.problems().getFirst());
        assertTrue(
                rejected.problems().getFirst().contains(message),
                rejected.problems().getFirst());
    }

    @Test
    void slidingLayersWithoutAWindowAreRefused() {
        FileRejectedException rejected = assertThrows(
                FileRejectedException.class,
                () -> read(
                        "architectures", "[\"Qwen3ForCausalLM\"]",
                        "layer_types", "[\"sliding_attention\", \"full_attention\"]"));
        assertTrue(rejected.problems().getFirst().contains("no sliding_window in use"));
    }

    @Test
    void filesThatAreNotAnObjectAreRefused() throws Exception {
        Path file = folder.resolve("config.json");
        for (String text :
                new String[] {"", "[]", "{\"a\": 1} x", "{\"a\": 1, \"a\": 2}", "{" + "\"a\":{".repeat(99)}) {
            Files.writeString(file, text);
            FileRejectedException rejected =
                    assertThrows(FileRejectedException.class, () -> ModelConfig.read(file), text);
            assertTrue(
                    rejected.problems().getFirst().startsWith(file + ": "),
                    rejected.problems().getFirst());
        }
    }
}
