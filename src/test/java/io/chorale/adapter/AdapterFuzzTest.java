package io.chorale.adapter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Mutated configurations and tensors: each is refused with sentences that name the file, or what is served is within the
 * file, of the base's shapes, finite, and changes something. Nothing else is ever thrown.
 */
class AdapterFuzzTest {
    private static final int INPUTS = 6_000;

    private static final String[] TOKENS = {
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "null",
        "true",
        "-1",
        "0",
        "1e9",
        "1e999",
        "NaN",
        "2.5",
        "4096",
        "9223372036854775807",
        "\"q_proj\"",
        "\"r\"",
        "\"lora_alpha\"",
        "\"rank_pattern\":{\"q_proj\":3},",
        "\"alpha_pattern\":{\".*\":0},",
        "\"use_rslora\":true,",
        "\"target_modules\":\"all-linear\",",
        "\"layers_to_transform\":[0],",
        "\"exclude_modules\":[\"down_proj\"],",
        "\"bias\":\"all\",",
        "(",
        ")",
        "*",
        "\\",
        "\\u0000",
        "F16",
        "BF16",
        "F64",
        "lora_B",
        "lora_A",
        "layers.1",
        "layers.9",
        "gate_proj",
        "\"use_dora\":true,",
        "\"modules_to_save\":[\"lm_head\"],",
        "lora_magnitude_vector",
        "lm_head",
        "embed_tokens.lora_embedding_A",
        "[2,8]",
        "[8,2]",
    };

    private final AdapterFolder adapters = new AdapterFolder(MalformedAdapters.BASE);

    @TempDir
    Path folder;

    @Test
    void mutatedAdaptersAreRefusedOrTrue() throws Exception {
        long seed = Long.getLong("chorale.seed", 1);
        System.out.println("AdapterFuzzTest: -Dchorale.seed=" + seed);
        Random random = new Random(seed);
        Path adapter = TestFolders.adapter(
                folder.resolve("fuzzed"), TestFolders.adapterConfig(), TestFolders.adapterTensors());
        byte[] config = Files.readAllBytes(adapter.resolve("adapter_config.json"));
        byte[] weights = Files.readAllBytes(adapter.resolve("adapter_model.safetensors"));
        int served = 0;
        for (int i = 0; i < INPUTS; i++) {
            boolean both = random.nextInt(4) == 0;
            boolean onConfig = both || random.nextBoolean();
            Files.write(adapter.resolve("adapter_config.json"), onConfig ? mutated(config, 0, random) : config);
            Files.write(
                    adapter.resolve("adapter_model.safetensors"),
                    both || !onConfig ? mutated(weights, 8, random) : weights);
            served += check(adapter, i) ? 1 : 0;
        }
        assertTrue(served > INPUTS / 50 && served < INPUTS, served + " of " + INPUTS + " were served");
    }

    private boolean check(Path adapter, int input) {
        try {
            AdapterEntry entry = adapters.verify("fuzzed", adapter);
            assertEquals(64, entry.digest().length());
            PeftAdapter files = PeftAdapter.open(adapter, MalformedAdapters.BASE);
            long fileBytes = Files.size(adapter.resolve("adapter_model.safetensors"));
            for (TensorSpan span : files.spans()) {
                assertTrue(span.offset() >= 8 && span.offset() + span.bytes() <= fileBytes, span::toString);
                boolean isOfLayer = span.layer() >= 0 && span.layer() < MalformedAdapters.BASE.layers();
                boolean isOuter = span.role() >= TensorSpan.HEAD_A || span.role() == TensorSpan.HEAD;
                assertTrue(isOuter ? span.layer() == TensorSpan.NO_LAYER : isOfLayer, span::toString);
                assertTrue(Float.isFinite(span.scale()), span::toString);
            }
            assertFalse(files.spans().isEmpty(), "an adapter that changes nothing is served");
            return true;
        } catch (FileRejectedException rejected) {
            assertFalse(rejected.problems().isEmpty());
            rejected.problems().forEach(problem -> assertTrue(problem.contains("fuzzed"), problem));
            return false;
        } catch (Exception | StackOverflowError other) {
            throw new AssertionError("input " + input + " ended in " + other, other);
        }
    }

    private static byte[] mutated(byte[] whole, int from, Random random) {
        byte[] bytes = whole.clone();
        for (int i = 1 + random.nextInt(3); i > 0; i--) {
            int at = from + random.nextInt(Math.max(1, bytes.length - from));
            switch (random.nextInt(6)) {
                case 0 -> bytes[Math.min(at, bytes.length - 1)] ^= (byte) (1 << random.nextInt(8));
                case 1 -> bytes = Arrays.copyOf(bytes, Math.max(1, at));
                case 2 -> bytes = spliced(bytes, at, 0, TOKENS[random.nextInt(TOKENS.length)]);
                case 3 -> bytes = spliced(bytes, at, 1 + random.nextInt(8), TOKENS[random.nextInt(TOKENS.length)]);
                case 4 -> bytes = spliced(bytes, from == 0 ? 1 : at, 0, TOKENS[random.nextInt(TOKENS.length)]);
                default -> bytes[random.nextInt(Math.min(8, bytes.length))] = (byte) random.nextInt(256);
            }
        }
        return bytes;
    }

    private static byte[] spliced(byte[] bytes, int at, int removed, String inserted) {
        byte[] text = inserted.getBytes(StandardCharsets.UTF_8);
        int start = Math.min(at, bytes.length);
        int rest = Math.min(bytes.length, start + removed);
        byte[] made = Arrays.copyOf(bytes, start + text.length + bytes.length - rest);
        System.arraycopy(text, 0, made, start, text.length);
        System.arraycopy(bytes, rest, made, start + text.length, bytes.length - rest);
        return made;
    }
}
