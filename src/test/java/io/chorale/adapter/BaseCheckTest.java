package io.chorale.adapter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The base model that an adapter names, against the one that is served. */
class BaseCheckTest {
    private static final List<String> SERVED = List.of("prod", "/data/Llama-2-7b-hf");

    @TempDir
    Path folder;

    private Path adapter(String base) throws Exception {
        Map<String, String> config = TestFolders.adapterConfig();
        config.put("base_model_name_or_path", base);
        return TestFolders.adapter(folder.resolve("tenant"), config, TestFolders.adapterTensors());
    }

    private static AdapterFolder doctor(BaseCheck.Mode mode) {
        return new AdapterFolder(
                MalformedAdapters.BASE, HeadLimit.UNLIMITED, new BaseCheck(mode, SERVED), new KnownDigests());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "meta-llama/Llama-2-7b-hf",
                "llama-2-7b-hf",
                "/mnt/else/where/Llama-2-7b-hf/",
                "/mnt/Llama-2-7b-hf/model",
                "D:\\models\\Llama-2-7b-hf",
                "/root/.cache/huggingface/hub/models--meta-llama--Llama-2-7b-hf/snapshots/01c7f73d771dfac7d292323805ebc428287df4f9",
                "prod",
                "",
            })
    void theLastPartOfANameCounts(String named) {
        assertFalse(new BaseCheck(BaseCheck.Mode.ENFORCE, SERVED).isOther(named));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "meta-llama/Llama-2-7b-chat-hf",
                "meta-llama/Llama-2-13b-hf",
                "Llama-2-7b-hf/merged",
                "data",
                "model",
                "/",
                "/cache/models--meta-llama--Llama-2-7b-chat-hf/snapshots/Llama-2-7b-hf",
            })
    void anotherModelIsToldApart(String named) {
        assertTrue(new BaseCheck(BaseCheck.Mode.ENFORCE, SERVED).isOther(named));
        assertFalse(new BaseCheck(BaseCheck.Mode.OFF, SERVED).isOther(named));
    }

    @Test
    void theServedModelMayLieInTheHubsCacheOrInAFolderOfNoName() {
        String cached = "/hub/models--Qwen--Qwen3-8B/snapshots/0f1e2d";
        assertFalse(new BaseCheck(BaseCheck.Mode.ENFORCE, List.of(cached)).isOther("Qwen/Qwen3-8B"));
        assertFalse(new BaseCheck(BaseCheck.Mode.ENFORCE, List.of("models/fable/model")).isOther("fable"));
    }

    @Test
    void enforcedItIsAmongAllThatIsWrongAndNamesBoth() throws Exception {
        Path other = adapter("\"acme/Falcon-7b\"");
        FileRejectedException rejected = assertThrows(
                FileRejectedException.class,
                () -> doctor(BaseCheck.Mode.ENFORCE).verify("tenant", other));
        assertEquals(
                List.of(other.resolve("adapter_config.json")
                        + ": 'base_model_name_or_path' is \"acme/Falcon-7b\", but the base model served is \"prod\""),
                rejected.problems());
        assertFalse(doctor(BaseCheck.Mode.ENFORCE).examine(other).usable());
    }

    @Test
    void warnedOfItIsServedAndSaysBoth() throws Exception {
        AdapterEntry entry = doctor(BaseCheck.Mode.WARN).verify("tenant", adapter("\"acme/Falcon-7b\""));
        assertTrue(entry.usable());
        assertEquals(1, entry.facts().warnings().size());
        assertTrue(
                entry.facts().warnings().getFirst().contains("acme/Falcon-7b\", but the base model served is \"prod"));
    }

    @ParameterizedTest
    @CsvSource({"WARN,\"acme/llama-2-7b-hf\"", "ENFORCE,\"prod\"", "ENFORCE,null", "OFF,\"acme/Falcon-7b\""})
    void nothingIsSaidWhereNothingIsWrong(BaseCheck.Mode mode, String named) throws Exception {
        AdapterEntry entry = doctor(mode).verify("tenant", adapter(named));
        assertTrue(entry.usable());
        assertEquals(List.of(), entry.facts().warnings());
    }
}
