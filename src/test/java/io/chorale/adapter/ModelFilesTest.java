package io.chorale.adapter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.adapter.SafetensorsWriter.Values;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Which tensors a model must have, and that everything wrong with them is said at once. */
class ModelFilesTest {
    private final Map<String, String> config = TestFolders.modelConfig();
    private final Map<String, Values> tensors = TestFolders.modelTensors();

    @TempDir
    Path folder;

    private ModelFiles open() throws Exception {
        return ModelFiles.open(TestFolders.model(folder, config, tensors));
    }

    private List<String> problems() {
        return assertThrows(FileRejectedException.class, this::open).problems();
    }

    private static void assertSays(List<String> problems, String... sentences) {
        assertEquals(sentences.length, problems.size(), problems::toString);
        for (int i = 0; i < sentences.length; i++) {
            assertTrue(problems.get(i).contains(sentences[i]), problems.get(i));
        }
    }

    @Test
    void aWholeModelIsMapped() throws Exception {
        ModelFiles model = open();
        assertEquals(3 + TestFolders.LAYERS * 9, model.spans().size());
        int floats = tensors.values().stream().mapToInt(v -> v.values().length).sum();
        assertEquals(4L * floats, model.weightBytes());
    }

    @Test
    void everythingWrongIsSaidAtOnce() {
        tensors.remove("model.layers.1.mlp.up_proj.weight");
        tensors.put("model.layers.0.self_attn.k_proj.weight", TestFolders.zeros(8, 8));
        tensors.put("model.layers.2.mlp.up_proj.weight", TestFolders.zeros(12, 8));
        tensors.put("model.layers.0.self_attn.q_proj.bias", TestFolders.zeros(8));
        assertSays(
                problems(),
                "model.safetensors: tensor 'model.layers.0.self_attn.k_proj.weight' has shape [8, 8], but the"
                        + " configuration asks for [4, 8]",
                "tensor 'model.layers.1.mlp.up_proj.weight' is missing; the configuration asks for one of shape [12, 8]",
                "tensor 'model.layers.2.mlp.up_proj.weight' has no place in a LlamaForCausalLM",
                "tensor 'model.layers.0.self_attn.q_proj.bias' has no place in a LlamaForCausalLM");
    }

    @Test
    void harmlessBuffersAreIgnored() throws Exception {
        tensors.put("model.layers.0.self_attn.rotary_emb.inv_freq", TestFolders.zeros(2));
        assertEquals(3 + TestFolders.LAYERS * 9, open().spans().size());
    }

    @Test
    void aTiedHeadMayBeAbsentPresentOrTheOnlyOne() throws Exception {
        config.put("tie_word_embeddings", "true");
        assertEquals(1, heads(open()), "both are there: they may differ");
        Values head = tensors.remove("lm_head.weight");
        assertEquals(0, heads(open()));
        tensors.remove("model.embed_tokens.weight");
        tensors.put("lm_head.weight", head == null ? TestFolders.zeros(1) : head);
        assertEquals(0, heads(open()), "the head is the embedding");
    }

    private static long heads(ModelFiles model) {
        return model.spans().stream()
                .filter(span -> span.role() == TensorSpan.HEAD)
                .count();
    }

    @Test
    void anUntiedHeadMustBeThere() {
        tensors.remove("lm_head.weight");
        assertSays(problems(), "tensor 'lm_head.weight' is missing");
    }

    @Test
    void typesThatAreNotServedAreNamed() throws Exception {
        TestFolders.model(folder, config, tensors);
        Path file = folder.resolve("model.safetensors");
        byte[] bytes = Files.readAllBytes(file);
        String text = new String(bytes, StandardCharsets.ISO_8859_1);
        int at = text.indexOf("F32", text.indexOf("lm_head.weight"));
        bytes[at] = 'I';
        Files.write(file, bytes);
        assertSays(
                assertThrows(FileRejectedException.class, () -> ModelFiles.open(folder))
                        .problems(),
                "tensor 'lm_head.weight' has dtype I32; F32, F16 and BF16 are served");
    }

    @Test
    void aFileCutShortIsRefused() throws Exception {
        TestFolders.model(folder, config, tensors);
        Path file = folder.resolve("model.safetensors");
        byte[] bytes = Files.readAllBytes(file);
        Files.write(file, Arrays.copyOf(bytes, bytes.length - 100));
        assertSays(
                assertThrows(FileRejectedException.class, () -> ModelFiles.open(folder))
                        .problems(),
                "it is cut short or its header lies");
    }

    @Test
    void foldersWithoutWeightsSayWhatTheyHave() throws Exception {
        Files.writeString(folder.resolve("config.json"), TestFolders.json(config));
        assertSays(
                assertThrows(FileRejectedException.class, () -> ModelFiles.open(folder))
                        .problems(),
                "has neither model.safetensors nor model.safetensors.index.json");
        Files.writeString(folder.resolve("pytorch_model.bin"), "");
        assertSays(
                assertThrows(FileRejectedException.class, () -> ModelFiles.open(folder))
                        .problems(),
                "holds only pickled weights");
    }

    @Test
    void shardsMustHoldWhatTheIndexSays() throws Exception {
        TestFolders.model(folder, config, tensors);
        Files.move(folder.resolve("model.safetensors"), folder.resolve("a.safetensors"));
        Path index = folder.resolve("model.safetensors.index.json");
        Files.writeString(index, "{\"weight_map\": {\"lm_head.weight\": \"a.safetensors\"}}");
        assertEquals(3 + TestFolders.LAYERS * 9, ModelFiles.open(folder).spans().size());
        for (String[] wrong : new String[][] {
            {"{\"weight_map\": {\"nothing\": \"a.safetensors\"}}", "says that the tensor is in"},
            {"{\"weight_map\": {\"x\": \"../a.safetensors\"}}", "not the name of a safetensors file of this folder"},
            {"{\"weight_map\": {\"x\": 3}}", "is not the name of a file"},
            {"{\"weight_map\": {}}", "names 0 files"},
            {"{\"weight_map\": {\"x\": \"b.safetensors\"}}", "b.safetensors: cannot be read: no such file"},
        }) {
            Files.writeString(index, wrong[0]);
            assertSays(
                    assertThrows(FileRejectedException.class, () -> ModelFiles.open(folder))
                            .problems(),
                    wrong[1]);
        }
        Files.copy(folder.resolve("a.safetensors"), folder.resolve("b.safetensors"));
        Files.writeString(
                index,
                "{\"weight_map\": {\"lm_head.weight\": \"a.safetensors\", \"model.norm.weight\": \"b.safetensors\"}}");
        assertSays(
                assertThrows(FileRejectedException.class, () -> ModelFiles.open(folder))
                        .problems(),
                "is in two files");
    }
}
