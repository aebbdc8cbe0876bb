package io.chorale.adapter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.adapter.SafetensorsWriter.Values;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What an adapter may be, PEFT's rules for patterns, and the whole list of what is wrong with one. */
class PeftAdapterTest {
    private static final ModelShape BASE = new ModelShape("LlamaForCausalLM", 2, 8, 12, 2, 1, 4, 16, 2048);
    private static final String Q0 = "base_model.model.model.layers.0.self_attn.q_proj.";

    private final Map<String, String> config = TestFolders.adapterConfig();
    private final Map<String, Values> tensors = TestFolders.adapterTensors();

    @TempDir
    Path folder;

    private PeftAdapter open() throws Exception {
        return PeftAdapter.open(TestFolders.adapter(folder, config, tensors), BASE);
    }

    private void assertRefused(String... sentences) {
        List<String> problems =
                assertThrows(FileRejectedException.class, this::open).problems();
        assertEquals(sentences.length, problems.size(), problems::toString);
        for (int i = 0; i < sentences.length; i++) {
            assertTrue(problems.get(i).contains(sentences[i]), problems.get(i));
        }
    }

    private float scale(int layer, Target target) throws Exception {
        return open().spans().stream()
                .filter(span -> span.layer() == layer && span.role() == TensorSpan.LORA_B + target.code)
                .findFirst()
                .orElseThrow()
                .scale();
    }

    @Test
    void aPlainAdapterIsMapped() throws Exception {
        PeftAdapter adapter = open();
        assertEquals(2, adapter.facts().rank());
        assertEquals(List.of("q_proj", "down_proj"), adapter.facts().targets());
        assertEquals(8, adapter.spans().size());
        assertEquals(2, scale(1, Target.Q));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "model.", "base_model.model.", "base_model.model.model."})
    void keysMayLackTheWrappersAndCarryTheAdaptersName(String prefix) throws Exception {
        Map<String, Values> renamed = new LinkedHashMap<>();
        tensors.forEach((name, values) -> renamed.put(
                name.replace("base_model.model.model.", prefix).replace(".weight", ".default.weight"), values));
        tensors.clear();
        tensors.putAll(renamed);
        assertEquals(8, open().spans().size());
    }

    @Test
    void scalesFollowRankStabilisationAndPatterns() throws Exception {
        config.put("use_rslora", "true");
        assertEquals((float) (4 / Math.sqrt(2)), scale(0, Target.Q));
        config.put("use_rslora", "false");
        config.put("alpha_pattern", "{\"layers.1.self_attn.q_proj\": 7, \"q_proj\": 3, \"_proj\": 9}");
        assertEquals(1.5f, scale(0, Target.Q));
        assertEquals(3.5f, scale(1, Target.Q));
        assertEquals(2, scale(0, Target.DOWN), "a pattern must match a whole part of the path");
    }

    @Test
    void ranksFollowPatterns() throws Exception {
        config.put("rank_pattern", "{\"^model.layers.1.mlp.down_proj\": 3}");
        tensors.put("base_model.model.model.layers.1.mlp.down_proj.lora_A.weight", TestFolders.zeros(3, 12));
        tensors.put("base_model.model.model.layers.1.mlp.down_proj.lora_B.weight", TestFolders.zeros(8, 3));
        assertEquals(3, open().facts().rank());
        assertEquals(4f / 3, scale(1, Target.DOWN));
        assertEquals(2, scale(0, Target.DOWN));
    }

    @Test
    void layersToTransformMayLeaveLayersOut() throws Exception {
        tensors.keySet().removeIf(name -> name.contains("layers.0."));
        assertRefused(
                "target_modules covers model.layers.0.self_attn.q_proj, but it has neither A nor B",
                "target_modules covers model.layers.0.mlp.down_proj, but it has neither A nor B");
        config.put("layers_to_transform", "[1]");
        assertEquals(4, open().spans().size());
        config.put("layers_to_transform", "1");
        config.put("layers_pattern", "[\"h\", \"layers\"]");
        assertEquals(4, open().spans().size());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "\"all-linear\"",
                "\"model\\\\.layers\\\\.\\\\d+\\\\.(self_attn|mlp)\\\\.(q|down)_proj\"",
                "[\"model.layers.0.self_attn.q_proj\", \"model.layers.1.self_attn.q_proj\", \"down_proj\"]"
            })
    void targetsMayBeNamedInEveryWay(String targets) throws Exception {
        config.put("target_modules", targets);
        if (targets.contains("all-linear")) {
            config.put("exclude_modules", "\".*(k|v|o|gate|up)_proj\"");
        }
        assertEquals(8, open().spans().size());
    }

    @Test
    void anAdapterForAnotherBaseIsToldWhichSizesAreExpected() {
        tensors.put(Q0 + "lora_A.weight", TestFolders.zeros(2, 16));
        tensors.put(Q0 + "lora_B.weight", TestFolders.zeros(32, 2));
        tensors.put("base_model.model.model.layers.7.mlp.down_proj.lora_A.weight", TestFolders.zeros(2, 12));
        assertRefused(
                "belongs to layer 7; the base model has 2: this adapter is for another base",
                "has shape [2, 16], but this linear of the base model has 8 input features: this adapter is for another",
                "has shape [32, 2], but this linear of the base model has 8 output features: this adapter is for another");
    }

    @Test
    void everythingWrongWithTheTensorsIsSaidAtOnce() {
        tensors.remove(Q0 + "lora_B.weight");
        tensors.put("base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight", TestFolders.zeros(3, 8));
        tensors.put("base_model.model.model.layers.1.self_attn.k_proj.lora_A.weight", TestFolders.zeros(2, 8));
        tensors.put("base_model.model.model.layers.1.self_attn.k_proj.lora_B.weight", TestFolders.zeros(4, 2));
        tensors.put("base_model.model.model.layers.0.mlp.router.lora_A.weight", TestFolders.zeros(2, 8));
        tensors.put("base_model.model.lm_head.lora_A.weight", TestFolders.zeros(2, 8));
        tensors.put("base_model.model.model.embed_tokens.lora_embedding_A", TestFolders.zeros(2, 8));
        tensors.put(Q0 + "lora_magnitude_vector", TestFolders.zeros(8));
        assertRefused(
                "mlp.router.lora_A.weight' belongs to mlp.router, which the base model does not have",
                "model.layers.0.self_attn.q_proj has no B",
                "lora_magnitude_vector' is there, but use_dora is not set",
                "layers.1.self_attn.q_proj.lora_A.weight' has rank 3, but the configuration says 2",
                "the configuration does not put LoRA on model.layers.1.self_attn.k_proj",
                "lm_head has no B",
                "model.embed_tokens has no B");
    }

    @Test
    void twoTensorsForOnePlaceAreRefused() {
        tensors.put("model.layers.0.self_attn.q_proj.lora_A.weight", TestFolders.zeros(2, 8));
        assertRefused("has the same place as '" + Q0 + "lora_A.weight'");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "peft_type | \"IA3\" | 'peft_type' is \"IA3\"; only LORA is served",
                "bias | \"lora_only\" | 'bias' is \"lora_only\": trained biases are not served",
                "use_dora | true | use_dora is set, but model.layers.0.self_attn.q_proj has no magnitudes",
                "modules_to_save | [\"lm_head\"] | modules_to_save names lm_head, but its weights are not there",
                "modules_to_save | [\"score\"] | 'modules_to_save' names \"score\"; only lm_head can be replaced",
                "lora_bias | true | 'lora_bias' is set",
                "fan_in_fan_out | true | 'fan_in_fan_out' is set",
                "trainable_token_indices | [1] | 'trainable_token_indices' is set",
                "layer_replication | [[0, 1]] | 'layer_replication' is set",
                "alora_invocation_tokens | [] | 'alora_invocation_tokens' is empty: nothing would ever invoke the adapter",
                "alora_invocation_tokens | [-1] | 'alora_invocation_tokens",
                "alora_invocation_tokens | [5, 1000000] | 'alora_invocation_tokens",
                "alora_invocation_tokens | [1.5] | 'alora_invocation_tokens",
                "alora_invocation_tokens | \"go\" | 'alora_invocation_tokens' must be",
                "init_lora_weights | \"pissa_niter_4\" | trained on a changed base model",
                "r | 0 | 'r' must be an integer from 1 to 4096, not 0",
                "r | 2.5 | must be an integer",
                "r | \"2\" | 'r' must be an integer, not \"2\"",
                "lora_alpha | [] | 'lora_alpha' must be a number",
                "rank_pattern | {\"(\": 3} | is not a valid pattern",
                "rank_pattern | {\"q_proj\": 0} | gives model.layers.0.self_attn.q_proj the rank 0",
                "rank_pattern | {\"(((((a|_|[a-z._0-9])*)*)*)*)*!\": 3} | takes too long to match",
                "target_modules | null | 'target_modules' is missing",
                "target_modules | \"(\" | 'target_modules' is not a valid pattern",
                "target_modules | [\"q_proj\", \"down_proj\", \"lm_head\"] | covers lm_head, but it has neither A nor B",
                "target_modules | [\"q_proj\", \"down_proj\", \"embed_tokens\"] | covers model.embed_tokens, but it has neither A nor B",
            })
    void settingsThatAreNotServedAreRefusedByName(String setting, String value, String message) {
        config.put(setting, value);
        List<String> problems =
                assertThrows(FileRejectedException.class, this::open).problems();
        assertTrue(problems.getFirst().contains(message), problems::toString);
    }

    @Test
    void trainingSettingsAreIgnored() throws Exception {
        config.put("lora_dropout", "0.1");
        config.put("init_lora_weights", "\"gaussian\"");
        config.put("loftq_config", "{}");
        config.put("auto_mapping", "{\"unsloth_fixed\": true}");
        config.put("modules_to_save", "[]");
        assertEquals(8, open().spans().size());
    }

    @Test
    void anAdapterThatTargetsNothingOfTheBaseIsRefused() {
        config.put("target_modules", "[\"c_attn\"]");
        tensors.clear();
        tensors.put("base_model.model.transformer.h.0.attn.c_attn.lora_A.weight", TestFolders.zeros(2, 8));
        assertRefused("c_attn.lora_A.weight' is not LoRA's A or B of a linear that is served");
        tensors.clear();
        assertRefused("the adapter changes nothing in this base model");
    }

    @Test
    void pickledWeightsAreRefused() throws Exception {
        Files.writeString(folder.resolve("adapter_config.json"), TestFolders.json(config));
        Files.writeString(folder.resolve("adapter_model.bin"), "");
        FileRejectedException rejected =
                assertThrows(FileRejectedException.class, () -> PeftAdapter.open(folder, BASE));
        assertTrue(rejected.problems().getFirst().contains("pickled weights can run code"));
    }

    @Test
    void theFingerprintTellsConfigurationsAndChangedTensorsApart() throws Exception {
        FileTime written = FileTime.fromMillis(1_000_000);
        FileTime writtenAnew = FileTime.fromMillis(2_000_000);
        String before = fingerprint(written);
        assertEquals(before, fingerprint(written));
        assertNotEquals(before, fingerprint(writtenAnew));
        config.put("lora_alpha", "5");
        assertNotEquals(before, fingerprint(written));
    }

    private String fingerprint(FileTime written) throws Exception {
        Path directory = TestFolders.adapter(folder, config, tensors);
        Files.setLastModifiedTime(directory.resolve("adapter_model.safetensors"), written);
        return PeftAdapter.open(directory, BASE).fingerprint();
    }
}
