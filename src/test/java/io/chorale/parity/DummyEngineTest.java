package io.chorale.parity;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.adapter.AdapterEntry;
import io.chorale.adapter.AdapterRegistry;
import io.chorale.adapter.DummyAdapters;
import io.chorale.adapter.ModelFiles;
import io.chorale.engine.AdapterWeights;
import io.chorale.engine.StagedAdapter;
import io.chorale.engine.jni.EngineConfigs;
import io.chorale.engine.jni.NativeEngine;
import io.chorale.engine.jni.NativeEngineConfig;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The native engine makes what a dummy's manifest asks for, of every family. */
class DummyEngineTest {
    private static NativeEngine engine(String fixture, long seed) throws Exception {
        Path folder = Path.of("src/test/resources/parity", fixture, "model");
        return NativeEngine.create(
                EngineConfigs.poisoned(NativeEngineConfig.cpu(16L << 20)),
                ModelFiles.dummy(folder, seed).manifest());
    }

    @ParameterizedTest
    @ValueSource(strings = {"llama-gqa", "llama3-scaled-tied", "mistral-window", "qwen2-bias", "qwen3-qknorm"})
    void shouldBeAFunctionOfTheSeed(String fixture) throws Exception {
        try (NativeEngine one = engine(fixture, 5);
                NativeEngine same = engine(fixture, 5);
                NativeEngine other = engine(fixture, 6)) {
            assertEquals(one.weightsDigest(), same.weightsDigest());
            assertNotEquals(one.weightsDigest(), other.weightsDigest());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"llama-gqa", "qwen2-bias"})
    void shouldStageAdaptersOfEachRank(String fixture) throws Exception {
        ModelFiles model = ModelFiles.dummy(Path.of("src/test/resources/parity", fixture, "model"), 0);
        List<String> targets = List.of("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj");
        AdapterRegistry registry = new AdapterRegistry();
        DummyAdapters dummies = new DummyAdapters(
                model.shape(),
                new DummyAdapters.Settings(2, List.of(2, 16), targets, 0),
                entry -> new AdapterWeights("none", 0, ByteBuffer.allocateDirect(0)));
        dummies.register(registry);
        try (NativeEngine engine = engine(fixture, 0)) {
            long bytesBefore = 0;
            for (AdapterEntry entry : registry.list()) {
                StagedAdapter staged = engine.stage(dummies.read(entry));
                assertTrue(staged.pages() > 0);
                assertTrue(staged.hostBytes() > bytesBefore, "a larger rank takes more");
                bytesBefore = staged.hostBytes();
                engine.release(staged);
            }
        }
    }
}
