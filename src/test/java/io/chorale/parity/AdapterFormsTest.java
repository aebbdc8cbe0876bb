package io.chorale.parity;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.adapter.AdapterForm;
import io.chorale.adapter.PeftAdapter;
import io.chorale.adapter.SafetensorsWriter;
import io.chorale.adapter.SafetensorsWriter.Values;
import io.chorale.engine.EngineFault;
import io.chorale.engine.StagedAdapter;
import io.chorale.engine.jni.EngineConfigs;
import io.chorale.engine.jni.NativeEngineConfig;
import io.chorale.parity.OddAdapter.Pair;
import io.chorale.parity.OddModelsTest.Odd;
import io.chorale.parity.PlanDriver.Generation;
import io.chorale.parity.PlanDriver.Schedule;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Adapters that do more than add to the linears of the layers, against the oracle in double precision: DoRA, LoRA of the
 * LM head and of the embedding, and an LM head of an adapter's own.
 */
class AdapterFormsTest {
    private static final int TOKENS = 6;
    private static final int RANK = 6;
    private static final double SCALE = 1.5;
    private static final double TOLERANCE = 3e-4;

    @TempDir
    Path folder;

    /** An adapter's files and what the oracle makes of them. */
    private record Made(Path files, Consumer<OracleDecoder> change) {}

    /** Odd sizes, biases of q, k and v, and a head that is the embedding. */
    static Stream<Arguments> all() {
        return OddModelsTest.models()
                .filter(odd -> List.of("five-heads", "seven-heads-bias", "three-heads-tied")
                        .contains(odd.model().name()))
                .flatMap(odd -> Stream.of("reference", "fast")
                        .flatMap(mode ->
                                Arrays.stream(AdapterForm.values()).map(form -> Arguments.of(odd, mode, form))));
    }

    @ParameterizedTest(name = "{0} {1} {2}")
    @MethodSource("all")
    void theEngineAgreesWithTheOracle(Odd odd, String mode, AdapterForm form) throws Exception {
        OddModel model = odd.model();
        try (EngineUnderTest under = EngineUnderTest.of(model.write(folder), mode)) {
            Made made = make(model, form);
            OddAdapter plain = odd.adapters().getFirst();
            int formed = under.load(made.files());
            int plainSlot = under.load(plain.write(folder));
            List<Generation> together = List.of(
                    new Generation(OddModelsTest.prompt(model, 9), -1),
                    new Generation(OddModelsTest.prompt(model, 21), formed),
                    new Generation(OddModelsTest.prompt(model, 13), plainSlot),
                    new Generation(OddModelsTest.prompt(model, 17), formed));
            under.driver.run(together, TOKENS, new Schedule(8, true));
            check(odd, together.get(0), oracle -> {});
            check(odd, together.get(1), made.change());
            check(odd, together.get(2), oracle -> oracle.add(plain, 1));
            check(odd, together.get(3), made.change());
            Generation alone = new Generation(together.get(1).prompt, formed);
            under.driver.run(List.of(alone), TOKENS, Schedule.WHOLE);
            for (int step = 0; step < TOKENS; step++) {
                assertArrayEquals(together.get(1).logProbs.get(step), alone.logProbs.get(step));
            }
        }
    }

    /** What adds may be part of a composition, each part with its factor. */
    @Test
    void formsThatAddCanBeComposed() throws Exception {
        Odd odd = OddModelsTest.models().toList().getFirst();
        try (EngineUnderTest under = EngineUnderTest.of(odd.model().write(folder), "fast")) {
            Made head = make(odd.model(), AdapterForm.LM_HEAD);
            Made embedding = make(odd.model(), AdapterForm.EMBED_TOKENS);
            int[] slots = {under.load(head.files()), under.load(embedding.files())};
            Generation both = new Generation(OddModelsTest.prompt(odd.model(), 11), slots, new float[] {1, 1});
            under.driver.run(List.of(both), TOKENS, Schedule.WHOLE);
            check(odd, both, head.change().andThen(embedding.change()));
        }
    }

    static Stream<Arguments> sharded() {
        return Stream.of("replicate", "sharded")
                .flatMap(scheme -> Arrays.stream(AdapterForm.values()).map(form -> Arguments.of(scheme, form)));
    }

    /** Each shard has a part of the rows that norms are of, or of the words that a head has. */
    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("sharded")
    void shardsAgreeWithTheOracle(String scheme, AdapterForm form) throws Exception {
        Odd odd = OddModelsTest.models()
                .filter(one -> one.model().name().equals("linear-rope"))
                .findFirst()
                .orElseThrow();
        NativeEngineConfig shards =
                EngineConfigs.inShards(2, scheme, NativeEngineConfig.cpu(EngineUnderTest.POOL_BYTES));
        try (EngineUnderTest under = new EngineUnderTest(odd.model().write(folder), shards)) {
            Made made = make(odd.model(), form);
            List<Generation> together = List.of(
                    new Generation(OddModelsTest.prompt(odd.model(), 9), -1),
                    new Generation(OddModelsTest.prompt(odd.model(), 21), under.load(made.files())));
            under.driver.run(together, TOKENS, new Schedule(8, true));
            check(odd, together.get(0), oracle -> {});
            check(odd, together.get(1), made.change());
        }
    }

    /** A row of weights that A and B cancel has no direction. */
    @Test
    void aRowWithoutLengthIsRefused() throws Exception {
        OddModel model = OddModelsTest.models().toList().getFirst().model();
        String module = "model.layers.0.self_attn.o_proj";
        int[] shape = model.shape("self_attn.o_proj");
        float[] weights =
                Objects.requireNonNull(model.tensors().get(module + ".weight")).values();
        // A has the first row of the weights, B takes exactly that away.
        float[] a = Arrays.copyOf(weights, shape[1]);
        float[] b = new float[shape[0]];
        b[0] = -1;
        Map<String, Values> tensors = new LinkedHashMap<>();
        tensors.put(key(module, "lora_A.weight"), new Values("F32", new int[] {1, shape[1]}, a));
        tensors.put(key(module, "lora_B.weight"), new Values("F32", new int[] {shape[0], 1}, b));
        float[] ones = new float[shape[0]];
        Arrays.fill(ones, 1);
        tensors.put(key(module, "lora_magnitude_vector"), new Values("F32", new int[] {shape[0]}, ones));
        Path files = write(
                "cancelled",
                "\"r\":1,\"lora_alpha\":1,\"use_dora\":true,\"target_modules\":\".*\\\\.0\\\\..*o_proj\"",
                tensors);
        try (EngineUnderTest under = EngineUnderTest.of(model.write(folder), "fast")) {
            EngineFault refused = assertThrows(EngineFault.class, () -> under.stage(files));
            assertTrue(
                    String.valueOf(refused.getMessage()).contains("for a row of weights whose norm is 0"),
                    refused::getMessage);
        }
    }

    @Test
    void onlyWhatAddsToLinearsMayBeMerged() throws Exception {
        Odd odd = OddModelsTest.models().toList().getFirst();
        try (EngineUnderTest under = EngineUnderTest.of(odd.model().write(folder), "fast")) {
            for (AdapterForm form : AdapterForm.values()) {
                Path files = make(odd.model(), form).files();
                assertEquals(
                        List.of(form),
                        PeftAdapter.open(files, under.model.shape()).facts().forms());
                StagedAdapter staged = under.stage(files);
                assertFalse(staged.mergeable(), form::label);
                under.engine.release(staged);
            }
            assertTrue(under.stage(odd.adapters().getFirst().write(folder)).mergeable());
        }
    }

    private Made make(OddModel model, AdapterForm form) throws IOException {
        Random random = new Random(form.ordinal());
        int hidden = model.size("hidden_size");
        int vocab = model.size("vocab_size");
        return switch (form) {
            case DORA -> dora(model, random);
            case LM_HEAD -> {
                Pair pair = pair(random, vocab, hidden);
                yield new Made(
                        write(
                                "head",
                                settings("[\"lm_head\"]"),
                                Map.of(
                                        key("lm_head", "lora_A.weight"), pair.a(),
                                        key("lm_head", "lora_B.weight"), pair.b())),
                        oracle -> oracle.addToHead(pair));
            }
            case EMBED_TOKENS -> {
                Pair pair = pair(random, hidden, vocab);
                yield new Made(
                        write(
                                "embedding",
                                settings("[\"embed_tokens\"]"),
                                Map.of(
                                        key("model.embed_tokens", "lora_embedding_A"), pair.a(),
                                        key("model.embed_tokens", "lora_embedding_B"), pair.b())),
                        oracle -> oracle.addToEmbedding(pair));
            }
            case OWN_HEAD -> {
                Values head = OddModel.random(random, "BF16", 0, 0.12, vocab, hidden);
                Pair pair = pair(random, model.shape("mlp.up_proj")[0], hidden);
                Map<String, Values> tensors = new LinkedHashMap<>();
                tensors.put(key("lm_head", "weight"), head);
                tensors.put(key("model.layers.1.mlp.up_proj", "lora_A.weight"), pair.a());
                tensors.put(key("model.layers.1.mlp.up_proj", "lora_B.weight"), pair.b());
                yield new Made(
                        write(
                                "own-head",
                                settings("[\"up_proj\"]")
                                        + ",\"layers_to_transform\":[1],\"modules_to_save\":[\"lm_head\"]",
                                tensors),
                        oracle -> {
                            oracle.replaceHead(head);
                            oracle.add("model.layers.1.mlp.up_proj", pair);
                        });
            }
        };
    }

    private Made dora(OddModel model, Random random) throws IOException {
        Map<String, Values> tensors = new LinkedHashMap<>();
        List<Consumer<OracleDecoder>> changes = new ArrayList<>();
        for (int layer = 0; layer < model.size("num_hidden_layers"); layer++) {
            for (String target : OddModel.TARGETS) {
                String module = "model.layers." + layer + "." + target;
                int[] shape = model.shape(target);
                Pair pair = pair(random, shape[0], shape[1]);
                Values magnitudes = OddModel.random(random, "F32", 0.9, 0.2, shape[0]);
                tensors.put(key(module, "lora_A.weight"), pair.a());
                tensors.put(key(module, "lora_B.weight"), pair.b());
                tensors.put(
                        key(module, layer == 0 ? "lora_magnitude_vector" : "lora_magnitude_vector.weight"), magnitudes);
                changes.add(oracle -> oracle.addByMagnitude(module, pair, magnitudes));
            }
        }
        return new Made(
                write("dora", settings("\"all-linear\"") + ",\"use_dora\":true", tensors),
                oracle -> changes.forEach(change -> change.accept(oracle)));
    }

    private static Pair pair(Random random, int out, int in) {
        return new Pair(
                RANK,
                SCALE,
                OddModel.random(random, "F32", 0, 0.15, RANK, in),
                OddModel.random(random, "F32", 0, 0.15, out, RANK));
    }

    private static String settings(String targets) {
        return "\"peft_type\":\"LORA\",\"r\":" + RANK + ",\"lora_alpha\":" + RANK * SCALE + ",\"target_modules\":"
                + targets;
    }

    private static String key(String module, String tensor) {
        return "base_model.model." + module + "." + tensor;
    }

    private Path write(String name, String settings, Map<String, Values> tensors) throws IOException {
        Path files = Files.createDirectories(folder.resolve(name));
        Files.writeString(files.resolve("adapter_config.json"), "{" + settings + "}");
        SafetensorsWriter writer = new SafetensorsWriter();
        tensors.forEach(writer::add);
        writer.write(files.resolve("adapter_model.safetensors"));
        return files;
    }

    /** The drawn token and the best twenty of every step, as log-probabilities. */
    private static void check(Odd odd, Generation got, Consumer<OracleDecoder> change) {
        OracleDecoder oracle = new OracleDecoder(odd.model(), null, odd.frequencies(), odd.magnitude());
        change.accept(oracle);
        int[] tokens = got.prompt;
        for (int step = 0; step < TOKENS; step++) {
            double[] logits = oracle.logits(tokens);
            double best = Arrays.stream(logits).max().orElseThrow();
            double sum =
                    Arrays.stream(logits).map(logit -> Math.exp(logit - best)).sum();
            double[] descending = Arrays.stream(logits)
                    .map(logit -> -(logit - best - Math.log(sum)))
                    .sorted()
                    .map(value -> -value)
                    .toArray();
            float[] logProbs = got.logProbs.get(step);
            int id = got.ids.get(step);
            double tolerance = TOLERANCE * Math.max(1, Math.abs(best));
            assertEquals(logits[id] - best - Math.log(sum), logProbs[0], tolerance, "token " + step);
            for (int i = 1; i < logProbs.length; i++) {
                assertEquals(descending[i - 1], logProbs[i], tolerance, "token " + step + ", number " + i);
            }
            tokens = Arrays.copyOf(tokens, tokens.length + 1);
            tokens[tokens.length - 1] = id;
        }
    }
}
