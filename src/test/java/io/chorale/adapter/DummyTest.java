package io.chorale.adapter;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.engine.AdapterWeights;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Models and adapters that nobody trained: what is asked of the engine, and what is refused. */
class DummyTest {
    @TempDir
    Path folder;

    private ModelFiles tiny() throws Exception {
        Files.writeString(folder.resolve("config.json"), TestFolders.json(TestFolders.modelConfig()));
        return ModelFiles.dummy(folder, 7);
    }

    private static DummyAdapters.Settings settings(int count, List<Integer> ranks, String... targets) {
        return new DummyAdapters.Settings(count, ranks, List.of(targets), 40);
    }

    private static DummyAdapters adapters(ModelShape shape, DummyAdapters.Settings settings) throws Exception {
        return new DummyAdapters(shape, settings, entry -> new AdapterWeights("other", 0, ByteBuffer.allocate(0)));
    }

    @Test
    void aDummyModelHasEveryTensorOfAStoredOne() throws Exception {
        ModelFiles stored =
                ModelFiles.open(TestFolders.model(folder, TestFolders.modelConfig(), TestFolders.modelTensors()));
        ModelFiles dummy = tiny();
        assertEquals(List.of(), dummy.files());
        assertEquals(stored.spans().size(), dummy.spans().size());
        for (int i = 0; i < dummy.spans().size(); i++) {
            TensorSpan wanted = stored.spans().get(i);
            TensorSpan made = dummy.spans().get(i);
            assertEquals(
                    List.of(wanted.role(), wanted.layer(), wanted.rows(), wanted.cols()),
                    List.of(made.role(), made.layer(), made.rows(), made.cols()));
            assertEquals(TensorSpan.NO_FILE, made.file());
            assertEquals(7, made.offset());
            assertEquals(ElementType.BF16, made.type());
        }
        assertEquals(stored.weightBytes() / 2, dummy.weightBytes(), "bfloat16 for float32");
    }

    @Test
    void theBuiltInModelsAreAsLargeAsTheirNamesSay() throws Exception {
        assertEquals(
                6_738_415_616L, ModelFiles.dummy(BuiltInModel.LLAMA_2_7B, 0).weightBytes() / 2);
        assertEquals(
                8_030_261_248L, ModelFiles.dummy(BuiltInModel.LLAMA_3_8B, 0).weightBytes() / 2);
        assertEquals(BuiltInModel.LLAMA_3_8B, BuiltInModel.of("llama-3-8b").orElseThrow());
        assertTrue(BuiltInModel.of("llama-9").isEmpty());
    }

    @Test
    void manyAdaptersCostNothingUntilOneIsRead() throws Exception {
        ModelShape shape = ModelFiles.dummy(BuiltInModel.LLAMA_2_7B, 0).shape();
        DummyAdapters dummies =
                adapters(shape, settings(20_000, List.of(8, 64), "q_proj", "k_proj", "v_proj", "o_proj"));
        AdapterRegistry registry = new AdapterRegistry();
        dummies.register(registry);
        assertEquals(20_000, registry.list().size());
        AdapterEntry first = registry.find("dummy-00000").orElseThrow();
        AdapterEntry last = registry.find("dummy-19999").orElseThrow();
        assertEquals(List.of(8, 64), List.of(first.rank(), last.rank()));
        assertEquals(16_777_216, first.weightBytes());
        assertEquals(List.of("q_proj", "k_proj", "v_proj", "o_proj"), last.targets());
        ByteBuffer manifest = dummies.read(first).manifest();
        assertTrue(manifest.isDirect());
        assertEquals(ManifestWriter.HEADER_BYTES + 32 * 8 * ManifestWriter.SPAN_BYTES, manifest.limit());
        assertArrayEquals(bytes(manifest), bytes(dummies.read(first).manifest()), "made again, the same");
        AdapterEntry sameRank = registry.find("dummy-00002").orElseThrow();
        assertNotEquals(manifest, dummies.read(sameRank).manifest(), "another adapter has another seed");
    }

    private static byte[] bytes(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.limit()];
        buffer.get(0, bytes);
        return bytes;
    }

    @Test
    void otherAdaptersComeFromWhereTheyCameFrom() throws Exception {
        AdapterRegistry registry = new AdapterRegistry();
        AdapterFolder stored = new AdapterFolder(tiny().shape());
        Path lora =
                TestFolders.adapter(folder.resolve("lora"), TestFolders.adapterConfig(), TestFolders.adapterTensors());
        AdapterEntry before = registry.add(stored.examine(lora));
        DummyAdapters dummies = adapters(tiny().shape(), settings(3, List.of(2), "down_proj"));
        dummies.register(registry);
        AdapterEntry after = registry.add(stored.examine(lora));
        assertEquals("other", dummies.read(before).name());
        assertEquals("other", dummies.read(after).name());
        for (AdapterEntry entry : registry.list().subList(0, 3)) {
            assertEquals(entry.name(), dummies.read(entry).name());
        }
    }

    @Test
    void whatCannotBeMadeIsRefusedByName() throws Exception {
        ModelShape shape = tiny().shape();
        assertSays("no linear 'lm_head'", settings(1, List.of(2), "q_proj", "lm_head"), shape);
        assertSays("rank 0", settings(1, List.of(4, 0), "q_proj"), shape);
        assertSays("rank 9 is not between 1 and 8", settings(1, List.of(9), "q_proj"), shape);
        assertSays("at least one target", settings(1, List.of(2)), shape);
        assertSays("at least one target and one rank", settings(1, List.of(), "q_proj"), shape);
    }

    private static void assertSays(String sentence, DummyAdapters.Settings settings, ModelShape shape) {
        String message = String.valueOf(assertThrows(FileRejectedException.class, () -> adapters(shape, settings))
                .getMessage());
        assertTrue(message.contains(sentence), message);
    }

    @Test
    void theElementTypeIsTheConfigurations() throws Exception {
        String json = TestFolders.json(TestFolders.modelConfig());
        for (String field : List.of("dtype", "torch_dtype")) {
            Files.writeString(folder.resolve("config.json"), json.replace("{", "{\"" + field + "\":\"float16\","));
            assertEquals(
                    ElementType.F16,
                    ModelFiles.dummy(folder, 0).spans().getFirst().type());
        }
        Files.writeString(folder.resolve("config.json"), json.replace("{", "{\"dtype\":\"int4\","));
        String message = String.valueOf(assertThrows(FileRejectedException.class, () -> ModelFiles.dummy(folder, 0))
                .getMessage());
        assertTrue(message.contains("int4") && message.contains("bfloat16"), message);
    }
}
