package io.chorale.parity;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.adapter.FileRejectedException;
import io.chorale.engine.EngineFault;
import io.chorale.parity.PlanDriver.Generation;
import io.chorale.parity.PlanDriver.Schedule;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Adapters that cannot be served are refused by name, at the file or when staged, and the engine answers as before. */
class BadAdaptersTest {
    private static final int[] PROMPT = {3, 1, 4, 1, 5};

    private final OddModel model = OddModel.of(
            "base",
            "LlamaForCausalLM",
            "F32",
            1,
            "vocab_size",
            "50",
            "hidden_size",
            "24",
            "intermediate_size",
            "32",
            "num_hidden_layers",
            "2",
            "num_attention_heads",
            "3",
            "max_position_embeddings",
            "64");

    private final EngineUnderTest under;
    private final Generation before;
    private final Path folder;

    BadAdaptersTest(@TempDir Path folder) throws Exception {
        this.folder = folder;
        under = EngineUnderTest.of(model.write(folder), "fast");
        before = generate();
    }

    @AfterEach
    void theBaseAnswersAsBefore() {
        Generation after = generate();
        assertEquals(before.ids, after.ids);
        assertArrayEquals(before.hidden.getLast(), after.hidden.getLast());
        under.close();
    }

    private Generation generate() {
        Generation generation = new Generation(PROMPT, -1);
        under.driver.run(List.of(generation), 4, Schedule.WHOLE);
        return generation;
    }

    @Test
    void valuesThatAreNotFiniteAreFoundWhenStaged() throws Exception {
        OddAdapter adapter = OddAdapter.of(
                model,
                "broken",
                "{\"r\":4,\"lora_alpha\":8,\"target_modules\":\"all-linear\"}",
                OddAdapter.PEFT_KEY,
                "F32",
                (layer, target) -> 4);
        adapter.pairs().values().iterator().next().b().values()[7] = Float.NaN;
        Path written = adapter.write(folder);
        EngineFault fault = assertThrows(EngineFault.class, () -> under.stage(written));
        assertEquals(EngineFault.Kind.REJECTED_INPUT, fault.kind());
        String message = String.valueOf(fault.getMessage());
        assertTrue(
                message.startsWith("adapter 'broken': ") && message.contains("layer 0 LoRA B of q: element 7"),
                message);
    }

    @Test
    void anotherModelsAdapterIsToldApart() {
        FileRejectedException rejected = assertThrows(
                FileRejectedException.class, () -> under.stage(Path.of("models", "fable", "adapters", "moral")));
        String message = String.valueOf(rejected.getMessage());
        assertTrue(message.contains("this linear of the base model has 24 input features"), message);
        assertTrue(message.contains("belongs to layer 5; the base model has 2"), message);
    }
}
