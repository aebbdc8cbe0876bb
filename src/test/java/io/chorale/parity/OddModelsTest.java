package io.chorale.parity;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.adapter.SafetensorsWriter.Values;
import io.chorale.parity.PlanDriver.Generation;
import io.chorale.parity.PlanDriver.Schedule;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Shapes, types and settings that no stored model has, against the oracle: odd head counts and sizes, odd ranks, patterns,
 * half precision, shards, old configuration files.
 */
class OddModelsTest {
    private static final double TOLERANCE = 2e-4;
    private static final int TOKENS = 6;

    @TempDir
    Path folder;

    /** A model with the adapters to try on it, and its rotation. */
    record Odd(OddModel model, List<OddAdapter> adapters, double[] frequencies, double magnitude) {
        @Override
        public String toString() {
            return model.name();
        }
    }

    static Stream<Odd> models() {
        return Stream.of(
                fiveHeads(),
                sevenHeadsBias(),
                threeHeadsTied(),
                wideHeads(),
                linearRope(),
                yarnRope(),
                windowed(),
                biases());
    }

    static Stream<Arguments> modelsAndModes() {
        return models().flatMap(odd -> Stream.of(Arguments.of(odd, "reference"), Arguments.of(odd, "fast")));
    }

    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("modelsAndModes")
    void theEngineAgreesWithTheOracle(Odd odd, String mode) throws Exception {
        OddModel model = odd.model();
        try (EngineUnderTest under = EngineUnderTest.of(model.write(folder), mode)) {
            double[][] head = head(model);
            List<Generation> together = new ArrayList<>();
            List<@Nullable OddAdapter> adapters = new ArrayList<>(odd.adapters());
            adapters.addFirst(null);
            for (OddAdapter adapter : adapters) {
                int slot = adapter == null ? -1 : under.load(adapter.write(folder));
                together.add(new Generation(prompt(model, 21 + together.size()), slot));
            }
            under.driver.run(together, TOKENS, new Schedule(9, true));
            for (int i = 0; i < together.size(); i++) {
                Generation got = together.get(i);
                OddAdapter adapter = adapters.get(i);
                OracleDecoder oracle = new OracleDecoder(model, adapter, odd.frequencies(), odd.magnitude());
                String which = model.name() + " " + (adapter == null ? "base" : adapter.name());
                int[] tokens = got.prompt;
                for (int step = 0; step < TOKENS; step++) {
                    double[] logits = oracle.logits(tokens);
                    ParityTest.checkLogits(which + ", token " + step, logits, got.hidden.get(step), head);
                    int id = got.ids.get(step);
                    assertTrue(
                            logits[id] >= max(logits) - TOLERANCE * Math.abs(max(logits)),
                            which + " drew " + id + ", not the best");
                    tokens = Arrays.copyOf(tokens, tokens.length + 1);
                    tokens[tokens.length - 1] = id;
                }
            }
        }
    }

    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("modelsAndModes")
    void companyDoesNotChangeABit(Odd odd, String mode) throws Exception {
        OddModel model = odd.model();
        try (EngineUnderTest under = EngineUnderTest.of(model.write(folder), mode)) {
            List<Generation> together = new ArrayList<>();
            List<Generation> alone = new ArrayList<>();
            for (int i = -1; i < odd.adapters().size(); i++) {
                int slot = i < 0 ? -1 : under.load(odd.adapters().get(i).write(folder));
                for (int repeat = 0; repeat < 3; repeat++) {
                    int[] prompt = prompt(model, 5 + 8 * repeat);
                    together.add(new Generation(prompt, slot));
                    alone.add(new Generation(prompt, slot));
                }
            }
            under.driver.run(together, TOKENS, Schedule.WHOLE);
            for (int i = 0; i < alone.size(); i++) {
                under.driver.run(List.of(alone.get(i)), TOKENS, Schedule.WHOLE);
                assertEquals(alone.get(i).ids, together.get(i).ids);
                for (int step = 0; step < TOKENS; step++) {
                    assertArrayEquals(
                            alone.get(i).hidden.get(step),
                            together.get(i).hidden.get(step));
                }
            }
        }
    }

    private static Odd fiveHeads() {
        OddModel model = OddModel.of(
                "five-heads-old-form",
                "LlamaForCausalLM",
                "F32",
                1,
                "vocab_size",
                "331",
                "hidden_size",
                "80",
                "intermediate_size",
                "200",
                "num_hidden_layers",
                "4",
                "num_attention_heads",
                "5",
                "max_position_embeddings",
                "512",
                "rope_theta",
                "10000.0",
                "torch_dtype",
                "\"float32\"",
                "rope_scaling",
                "null");
        String all = "[\"q_proj\",\"k_proj\",\"v_proj\",\"o_proj\",\"gate_proj\",\"up_proj\",\"down_proj\"]";
        OddAdapter some = OddAdapter.of(
                model,
                "rank-5",
                "{\"peft_type\":\"LORA\",\"r\":5,\"lora_alpha\":10,"
                        + "\"target_modules\":[\"k_proj\",\"o_proj\",\"down_proj\"]}",
                OddAdapter.PEFT_KEY,
                "F32",
                (layer, target) -> target.matches(".*(k_proj|o_proj|down_proj)") ? 5 : 0);
        OddAdapter one = OddAdapter.of(
                model,
                "rank-1",
                "{\"r\":1,\"lora_alpha\":2,\"target_modules\":" + all + "}",
                "%s.lora_%s.default.weight",
                "F16",
                (layer, target) -> 1);
        OddAdapter large = OddAdapter.of(
                model,
                "rank-96",
                "{\"r\":96,\"lora_alpha\":192,\"target_modules\":\"all-linear\"}",
                OddAdapter.PEFT_KEY,
                "BF16",
                (layer, target) -> 96);
        String patterns = "{\"r\":8,\"lora_alpha\":16,\"target_modules\":" + all
                + ",\"rank_pattern\":{\"q_proj\":4,\"layers\\\\.[12]\\\\.mlp\\\\.down_proj\":12},"
                + "\"alpha_pattern\":{\"q_proj\":2}}";
        OddAdapter pattern =
                OddAdapter.of(model, "patterns", patterns, OddAdapter.PEFT_KEY, "F32", new OddAdapter.Ranks() {
                    @Override
                    public int rank(int layer, String target) {
                        boolean wide = target.endsWith("down_proj") && (layer == 1 || layer == 2);
                        return target.endsWith("q_proj") ? 4 : wide ? 12 : 8;
                    }

                    @Override
                    public double scale(int layer, String target, int rank) {
                        return target.endsWith("q_proj") ? 2.0 / 4 : 16.0 / rank;
                    }
                });
        return new Odd(model, List.of(some, one, large, pattern), plain(10_000, 16), 1);
    }

    private static Odd sevenHeadsBias() {
        OddModel model = OddModel.of(
                "seven-heads-bias",
                "Qwen2ForCausalLM",
                "BF16",
                3,
                "vocab_size",
                "777",
                "hidden_size",
                "112",
                "intermediate_size",
                "304",
                "num_hidden_layers",
                "3",
                "num_attention_heads",
                "7",
                "num_key_value_heads",
                "1",
                "max_position_embeddings",
                "512",
                "rope_theta",
                "1000000.0",
                "sliding_window",
                "4",
                "use_sliding_window",
                "false");
        OddAdapter layers = OddAdapter.of(
                model,
                "one-layer-rslora",
                "{\"r\":12,\"lora_alpha\":24,\"use_rslora\":true,\"target_modules\":[\"q_proj\",\"v_proj\"],"
                        + "\"layers_to_transform\":[1],\"layers_pattern\":\"layers\"}",
                OddAdapter.PEFT_KEY,
                "F32",
                new OddAdapter.Ranks() {
                    @Override
                    public int rank(int layer, String target) {
                        return layer == 1 && target.matches(".*(q|v)_proj") ? 12 : 0;
                    }

                    @Override
                    public double scale(int layer, String target, int rank) {
                        return 24 / Math.sqrt(12);
                    }
                });
        return new Odd(model, List.of(layers), plain(1e6, 16), 1);
    }

    private static Odd threeHeadsTied() {
        OddModel model = OddModel.of(
                "three-heads-tied",
                "Qwen3ForCausalLM",
                "F16",
                2,
                "vocab_size",
                "257",
                "hidden_size",
                "64",
                "intermediate_size",
                "96",
                "num_hidden_layers",
                "3",
                "num_attention_heads",
                "3",
                "num_key_value_heads",
                "3",
                "head_dim",
                "48",
                "max_position_embeddings",
                "512",
                "tie_word_embeddings",
                "true",
                "rope_parameters",
                "{\"rope_theta\": 5000000.0, \"rope_type\": \"default\"}");
        OddAdapter regex = OddAdapter.of(
                model,
                "regex-targets",
                "{\"r\":10,\"lora_alpha\":20,\"target_modules\":\"model\\\\.layers\\\\.\\\\d+\\\\.mlp\\\\..*\"}",
                OddAdapter.PEFT_KEY,
                "F32",
                (layer, target) -> target.startsWith("mlp") ? 10 : 0);
        return new Odd(model, List.of(regex), plain(5e6, 48), 1);
    }

    private static Odd wideHeads() {
        OddModel model = OddModel.of(
                "wide-heads-llama3",
                "LlamaForCausalLM",
                "F32",
                1,
                "vocab_size",
                "512",
                "hidden_size",
                "96",
                "intermediate_size",
                "130",
                "num_hidden_layers",
                "2",
                "num_attention_heads",
                "2",
                "num_key_value_heads",
                "1",
                "head_dim",
                "128",
                "rms_norm_eps",
                "1e-05",
                "max_position_embeddings",
                "2048",
                "rope_theta",
                "500000.0",
                "rope_scaling",
                "{\"type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0,"
                        + " \"original_max_position_embeddings\": 64}");
        double[] frequencies = plain(500_000, 128);
        for (int i = 0; i < frequencies.length; i++) {
            double turns = 64 * frequencies[i] / (2 * Math.PI);
            double blend = Math.clamp((turns - 1) / 3, 0, 1);
            frequencies[i] *= (1 - blend) / 8 + blend;
        }
        OddAdapter all = OddAdapter.of(
                model,
                "rank-24",
                "{\"r\":24,\"lora_alpha\":48,\"target_modules\":\"all-linear\"}",
                OddAdapter.PEFT_KEY,
                "F32",
                (layer, target) -> 24);
        return new Odd(model, List.of(all), frequencies, 1);
    }

    private static Odd linearRope() {
        OddModel model = OddModel.of(
                "linear-rope",
                "LlamaForCausalLM",
                "F32",
                1,
                "vocab_size",
                "100",
                "hidden_size",
                "40",
                "intermediate_size",
                "56",
                "num_hidden_layers",
                "2",
                "num_attention_heads",
                "4",
                "num_key_value_heads",
                "2",
                "max_position_embeddings",
                "256",
                "rope_scaling",
                "{\"type\": \"linear\", \"factor\": 4}");
        double[] frequencies = plain(10_000, 10);
        for (int i = 0; i < frequencies.length; i++) {
            frequencies[i] /= 4;
        }
        return new Odd(model, List.of(), frequencies, 1);
    }

    private static Odd yarnRope() {
        OddModel model = OddModel.of(
                "yarn-rope",
                "Qwen3ForCausalLM",
                "F32",
                1,
                "vocab_size",
                "100",
                "hidden_size",
                "48",
                "intermediate_size",
                "56",
                "num_hidden_layers",
                "2",
                "num_attention_heads",
                "4",
                "num_key_value_heads",
                "2",
                "head_dim",
                "32",
                "max_position_embeddings",
                "256",
                "rope_parameters",
                "{\"rope_type\": \"yarn\", \"rope_theta\": 10000, \"factor\": 4.0,"
                        + " \"original_max_position_embeddings\": 64}");
        double[] frequencies = plain(10_000, 32);
        double low = Math.max(0, Math.floor(yarnDim(32)));
        double high = Math.min(31, Math.ceil(yarnDim(1)));
        for (int i = 0; i < frequencies.length; i++) {
            double slow = Math.clamp((i - low) / (high - low), 0, 1);
            frequencies[i] *= slow / 4 + (1 - slow);
        }
        return new Odd(model, List.of(), frequencies, 0.1 * Math.log(4) + 1);
    }

    private static double yarnDim(double turns) {
        return 32 * Math.log(64 / (turns * 2 * Math.PI)) / (2 * Math.log(10_000));
    }

    private static Odd windowed() {
        OddModel model = OddModel.of(
                "window-on-upper-layers",
                "Qwen2ForCausalLM",
                "F32",
                1,
                "vocab_size",
                "100",
                "hidden_size",
                "48",
                "intermediate_size",
                "56",
                "num_hidden_layers",
                "3",
                "num_attention_heads",
                "4",
                "num_key_value_heads",
                "4",
                "max_position_embeddings",
                "256",
                "use_sliding_window",
                "true",
                "sliding_window",
                "7",
                "max_window_layers",
                "1");
        return new Odd(model, List.of(), plain(10_000, 12), 1);
    }

    private static Odd biases() {
        OddModel model = OddModel.of(
                "biases-everywhere",
                "LlamaForCausalLM",
                "F32",
                1,
                "vocab_size",
                "99",
                "hidden_size",
                "36",
                "intermediate_size",
                "50",
                "num_hidden_layers",
                "2",
                "num_attention_heads",
                "3",
                "attention_bias",
                "true",
                "mlp_bias",
                "true",
                "max_position_embeddings",
                "128",
                "hidden_act",
                "\"silu\"");
        OddAdapter all = OddAdapter.of(
                model,
                "on-biases",
                "{\"r\":3,\"lora_alpha\":6,\"target_modules\":\"all-linear\"}",
                OddAdapter.PEFT_KEY,
                "F32",
                (layer, target) -> 3);
        return new Odd(model, List.of(all), plain(10_000, 12), 1);
    }

    private static double[] plain(double theta, int dims) {
        double[] frequencies = new double[dims / 2];
        for (int i = 0; i < frequencies.length; i++) {
            frequencies[i] = Math.pow(theta, -2.0 * i / dims);
        }
        return frequencies;
    }

    static int[] prompt(OddModel model, int count) {
        return new Random(count).ints(count, 0, model.size("vocab_size")).toArray();
    }

    static double[][] head(OddModel model) {
        Map<String, Values> tensors = model.tensors();
        String name = tensors.containsKey("lm_head.weight") ? "lm_head.weight" : "model.embed_tokens.weight";
        float[] flat = Objects.requireNonNull(tensors.get(name)).values();
        double[][] rows = new double[model.size("vocab_size")][model.size("hidden_size")];
        for (int i = 0; i < flat.length; i++) {
            rows[i / rows[0].length][i % rows[0].length] = flat[i];
        }
        return rows;
    }

    private static double max(double[] values) {
        return Arrays.stream(values).max().orElseThrow();
    }
}
