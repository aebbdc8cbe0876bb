package io.chorale.adapter;

import io.chorale.adapter.SafetensorsWriter.Values;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The kinds of broken adapter in {@code src/test/resources/adapters/malformed}, for the tiny Llama of {@link TestFolders}:
 * how each is made, and what its refusal must say. A folder there holds the files and {@code refusal.txt}, a line a
 * finding; {@code -Dcorpus.update} writes them anew.
 */
final class MalformedAdapters {
    static final ModelShape BASE = new ModelShape("LlamaForCausalLM", 2, 8, 12, 2, 1, 4, 16, 2048);
    static final Path CORPUS = Path.of("src/test/resources/adapters/malformed");

    private static final String CONFIG = "adapter_config.json";
    private static final String WEIGHTS = "adapter_model.safetensors";
    private static final String PREFIX = "base_model.model.model.layers.";
    static final String Q0A = PREFIX + "0.self_attn.q_proj.lora_A.weight";
    static final String Q0B = PREFIX + "0.self_attn.q_proj.lora_B.weight";
    private static final String DOWN1A = PREFIX + "1.mlp.down_proj.lora_A.weight";

    /** One kind: how its files are written, and parts of the sentences that must be said. */
    record Kind(String name, Maker maker, List<String> sentences) {}

    /** Writes the files of a kind into its folder. */
    interface Maker {
        void write(Path folder) throws IOException;
    }

    private final List<Kind> kinds = new ArrayList<>();

    static List<Kind> all() {
        MalformedAdapters corpus = new MalformedAdapters();
        corpus.configurations();
        corpus.files();
        corpus.tensors();
        corpus.forms();
        corpus.contents();
        AttackersAdapters.addTo(corpus);
        return corpus.kinds;
    }

    private void add(String name, Maker maker, String... sentences) {
        kinds.add(new Kind(name, maker, List.of(sentences)));
    }

    /** An adapter that is whole but for one setting. */
    void setting(String name, String key, String value, String... sentences) {
        add(
                name,
                folder -> {
                    Map<String, String> config = TestFolders.adapterConfig();
                    config.put(key, value);
                    TestFolders.adapter(folder, config, TestFolders.adapterTensors());
                },
                sentences);
    }

    /** Bends the tensors of a whole adapter. */
    interface Bend {
        void bend(Map<String, Values> tensors);
    }

    void tensor(String name, Bend bend, String... sentences) {
        add(
                name,
                folder -> {
                    Map<String, Values> tensors = TestFolders.adapterTensors();
                    bend.bend(tensors);
                    TestFolders.adapter(folder, TestFolders.adapterConfig(), tensors);
                },
                sentences);
    }

    /** A whole configuration beside these bytes. */
    void weights(String name, byte[] bytes, String... sentences) {
        add(
                name,
                folder -> {
                    TestFolders.adapter(folder, TestFolders.adapterConfig(), TestFolders.adapterTensors());
                    Files.write(folder.resolve(WEIGHTS), bytes);
                },
                sentences);
    }

    /** Whole tensors beside this configuration. */
    void config(String name, byte[] bytes, String... sentences) {
        add(
                name,
                folder -> {
                    TestFolders.adapter(folder, TestFolders.adapterConfig(), TestFolders.adapterTensors());
                    Files.write(folder.resolve(CONFIG), bytes);
                },
                sentences);
    }

    private void configurations() {
        add(
                "config-missing",
                folder -> {
                    TestFolders.adapter(folder, TestFolders.adapterConfig(), TestFolders.adapterTensors());
                    Files.delete(folder.resolve(CONFIG));
                },
                "adapter_config.json: cannot be read: no such file");
        config("config-empty", new byte[0], "adapter_config.json");
        config("config-cut", text("{\"peft_type\":\"LORA\",\"r\":2,"), "adapter_config.json");
        config("config-is-a-list", text("[]"), "adapter_config.json");
        config("config-says-r-twice", text("{\"r\":2,\"r\":4,\"target_modules\":[\"q_proj\"]}"), "Duplicate field 'r'");
        config("config-not-utf8", new byte[] {'{', '"', (byte) 0xff, '"', ':', '1', '}'}, "adapter_config.json");
        config("config-nested-deep", text("{\"a\":" + "[".repeat(500) + "]".repeat(500) + "}"), "nested too deep");
        setting("type-is-ia3", "peft_type", "\"IA3\"", "'peft_type' is \"IA3\"; only LORA is served");
        setting("type-is-a-number", "peft_type", "7", "'peft_type' must be a string");
        setting("bias-trained", "bias", "\"all\"", "'bias' is \"all\": trained biases are not served");
        setting("bias-of-b", "lora_bias", "true", "'lora_bias' is set");
        setting("dora-without-magnitudes", "use_dora", "true", "has no magnitudes");
        setting("head-that-is-not-there", "modules_to_save", "[\"lm_head\"]", "its weights are not there");
        setting("modules-to-save", "modules_to_save", "[\"embed_tokens\"]", "only lm_head can be replaced");
        setting("tied-as-one", "ensure_weight_tying", "true", "'ensure_weight_tying' is set");
        setting("fan-in-fan-out", "fan_in_fan_out", "true", "'fan_in_fan_out' is set");
        setting("tokens-trained", "trainable_token_indices", "[3]", "'trainable_token_indices' is set");
        setting("layers-replicated", "layer_replication", "[[0,1]]", "'layer_replication' is set");
        setting("parameters-targeted", "target_parameters", "[\"w\"]", "'target_parameters' is set");
        setting("base-changed-by-pissa", "init_lora_weights", "\"pissa\"", "trained on a changed base model");
        setting("rank-zero", "r", "0", "'r' must be an integer from 1 to 4096, not 0");
        setting("rank-negative", "r", "-4", "'r' must be an integer from 1 to 4096");
        setting("rank-fraction", "r", "2.5", "'r' must be an integer");
        setting("rank-text", "r", "\"2\"", "'r' must be an integer, not \"2\"");
        setting("rank-enormous", "r", "1e9", "'r' must be an integer from 1 to 4096");
        setting("rank-of-another", "r", "3", "has rank 2, but the configuration says 3");
        setting(
                "rank-pattern-of-another",
                "rank_pattern",
                "{\"down_proj\":5}",
                "has rank 2, but the configuration says 5");
        setting("rank-pattern-broken", "rank_pattern", "{\"(\":3}", "is not a valid pattern");
        setting("alpha-text", "lora_alpha", "\"4\"", "'lora_alpha' must be a number");
        setting("alpha-infinite", "lora_alpha", "1e999", "'lora_alpha'");
        setting("alpha-overflows-float", "lora_alpha", "1e300", "scale that is not finite");
        setting("targets-missing", "target_modules", "null", "'target_modules' is missing");
        setting("targets-empty", "target_modules", "[]", "'target_modules' is missing");
        setting("targets-with-null", "target_modules", "[\"q_proj\",null]", "holds a null");
        setting("targets-broken-pattern", "target_modules", "\"(\"", "'target_modules' is not a valid pattern");
        setting(
                "targets-endless-pattern",
                "target_modules",
                "\"(((((a|_|[a-z._0-9])*)*)*)*)*!\"",
                "takes too long to match");
        setting(
                "targets-more-than-there-is",
                "target_modules",
                "[\"q_proj\",\"down_proj\",\"up_proj\"]",
                "covers model.layers.0.mlp.up_proj, but it has neither A nor B",
                "covers model.layers.1.mlp.up_proj, but it has neither A nor B");
        setting(
                "targets-less-than-there-is",
                "target_modules",
                "[\"q_proj\"]",
                "the configuration does not put LoRA on model.layers.0.mlp.down_proj",
                "the configuration does not put LoRA on model.layers.1.mlp.down_proj");
        setting(
                "head-targeted",
                "target_modules",
                "[\"q_proj\",\"down_proj\",\"lm_head\"]",
                "target_modules covers lm_head, but it has neither A nor B");
        setting(
                "two-faults-at-once",
                "target_modules",
                "[\"q_proj\",\"down_proj\",\"embed_tokens\",\"lm_head\"]",
                "target_modules covers lm_head, but it has neither A nor B",
                "target_modules covers model.embed_tokens, but it has neither A nor B");
    }

    private void files() {
        add(
                "weights-missing",
                folder -> {
                    Files.createDirectories(folder);
                    Files.writeString(folder.resolve(CONFIG), TestFolders.json(TestFolders.adapterConfig()));
                },
                "adapter_model.safetensors: cannot be read: no such file");
        add(
                "weights-pickled",
                folder -> {
                    Files.createDirectories(folder);
                    Files.writeString(folder.resolve(CONFIG), TestFolders.json(TestFolders.adapterConfig()));
                    Files.write(folder.resolve("adapter_model.bin"), new byte[] {(byte) 0x80, 2, '.'});
                },
                "pickled weights can run code when read");
        add(
                "weights-are-a-folder",
                folder -> {
                    Files.createDirectories(folder.resolve(WEIGHTS));
                    Files.writeString(folder.resolve(WEIGHTS).resolve("a-file"), "");
                    Files.writeString(folder.resolve(CONFIG), TestFolders.json(TestFolders.adapterConfig()));
                },
                "adapter_model.safetensors: cannot be read");
        weights("weights-empty", new byte[0], "has 0 bytes, too few for a safetensors file");
        weights("weights-are-text", text("version https://git-lfs.github.com/spec/v1\n"), "its header has");
        byte[] whole = SafetensorsWriter.file(List.of(entry(Q0A, "F32", new int[] {2, 8}, 0, 64)), 64);
        weights("weights-cut", Arrays.copyOf(whole, whole.length - 20), "it is cut short or its header lies");
        weights("header-longer-than-file", length(whole.clone(), 1 << 20), "but the file ends after");
        weights("header-length-negative", length(whole.clone(), -1), "says that its header has");
        weights("header-cut", length(whole.clone(), 40), "its header ends in the middle");
        weights("header-not-json", SafetensorsWriter.file("{nonsense}", new byte[0]), "its header is not valid JSON");
        weights("header-is-a-list", SafetensorsWriter.file("[1,2]", new byte[0]), "does not begin with '{'");
        raw(
                "tensor-twice",
                entry(Q0A, "F32", new int[] {2, 8}, 0, 64) + "," + entry(Q0A, "F32", new int[] {2, 8}, 64, 128),
                128,
                "Duplicate field");
        raw(
                "tensors-overlap",
                entry(Q0A, "F32", new int[] {2, 8}, 0, 64) + "," + entry(Q0B, "F32", new int[] {8, 2}, 32, 96),
                96,
                "overlaps");
        raw("bytes-of-nobody", entry(Q0A, "F32", new int[] {2, 8}, 16, 80), 80, "belong to no tensor");
        raw("bytes-after-the-end", entry(Q0A, "F32", new int[] {2, 8}, 0, 64), 72, "belong to no tensor");
        raw("offsets-turned-round", entry(Q0A, "F32", new int[] {2, 8}, 64, 0), 64, "are not [begin, end]");
        raw("shape-lies", entry(Q0A, "F32", new int[] {2, 9}, 0, 64), 64, "but its data_offsets span 64");
        raw(
                "shape-overflows",
                "\"" + Q0A + "\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],\"data_offsets\":[0,64]}",
                64,
                "more bytes than can be counted");
        raw("type-unknown", entry(Q0A, "F4", new int[] {2, 8}, 0, 64), 64, "unknown dtype \"F4\"");
        raw("type-missing", "\"" + Q0A + "\":{\"shape\":[2,8],\"data_offsets\":[0,64]}", 64, "has no dtype");
    }

    void raw(String name, String entries, int dataBytes, String... sentences) {
        weights(name, SafetensorsWriter.file("{" + entries + "}", new byte[dataBytes]), sentences);
    }

    private void tensors() {
        tensor("no-tensors", Map::clear, "target_modules covers model.layers.0.self_attn.q_proj");
        tensor("b-missing", tensors -> tensors.remove(Q0B), "model.layers.0.self_attn.q_proj has no B");
        tensor("a-missing", tensors -> tensors.remove(DOWN1A), "model.layers.1.mlp.down_proj has no A");
        tensor(
                "a-and-b-exchanged",
                tensors -> {
                    Values a = tensors.get(Q0A);
                    tensors.put(Q0A, tensors.get(Q0B));
                    tensors.put(Q0B, a);
                },
                "lora_A.weight' has",
                "lora_B.weight' has");
        tensor(
                "a-of-a-wider-base",
                tensors -> tensors.put(Q0A, TestFolders.values(2, 16)),
                "has shape [2, 16], but this linear of the base model has 8 input features: this adapter is for another base");
        tensor(
                "b-of-a-wider-base",
                tensors -> tensors.put(Q0B, TestFolders.values(32, 2)),
                "has 8 output features: this adapter is for another base");
        tensor(
                "layers-of-a-deeper-base",
                tensors -> {
                    tensors.put(PREFIX + "2.self_attn.q_proj.lora_A.weight", TestFolders.values(2, 8));
                    tensors.put(PREFIX + "2.self_attn.q_proj.lora_B.weight", TestFolders.values(8, 2));
                },
                "belongs to layer 2; the base model has 2: this adapter is for another base");
        tensor(
                "a-of-one-dimension",
                tensors -> tensors.put(Q0A, TestFolders.values(16)),
                "but a matrix of shape [2, 8] is needed");
        tensor(
                "a-of-three-dimensions",
                tensors -> tensors.put(Q0A, TestFolders.values(2, 8, 1)),
                "but a matrix of shape [2, 8] is needed");
        tensor(
                "module-unknown",
                tensors -> tensors.put(PREFIX + "0.mlp.router.lora_A.weight", TestFolders.values(2, 8)),
                "belongs to mlp.router, which the base model does not have");
        tensor(
                "tensor-unmapped",
                tensors -> tensors.put("something.else", TestFolders.values(2)),
                "'something.else' is not LoRA's A or B of a linear that is served");
        tensor(
                "magnitude-without-a-word",
                tensors -> tensors.put(PREFIX + "0.self_attn.q_proj.lora_magnitude_vector", TestFolders.values(8)),
                "lora_magnitude_vector' is there, but use_dora is not set");
        tensor(
                "bias-without-a-word",
                tensors -> tensors.put(PREFIX + "0.self_attn.q_proj.lora_B.bias", TestFolders.values(8)),
                "lora_B.bias' is not LoRA's A or B");
        tensor(
                "head-without-a-word",
                tensors -> tensors.put("base_model.model.lm_head.lora_A.weight", TestFolders.values(2, 8)),
                "lm_head has no B");
        tensor(
                "embedding-without-a-word",
                tensors ->
                        tensors.put("base_model.model.model.embed_tokens.lora_embedding_A", TestFolders.values(2, 16)),
                "model.embed_tokens has no B");
        tensor(
                "two-for-one-place",
                tensors -> tensors.put(PREFIX + "0.self_attn.q_proj.lora_A.other.weight", TestFolders.values(2, 8)),
                "has the same place as '" + Q0A + "'");
        add(
                "type-not-served",
                folder -> {
                    TestFolders.adapter(folder, TestFolders.adapterConfig(), TestFolders.adapterTensors());
                    Files.write(
                            folder.resolve(WEIGHTS),
                            SafetensorsWriter.file(
                                    List.of(
                                            entry(Q0A, "F64", new int[] {2, 8}, 0, 128),
                                            entry(Q0B, "I8", new int[] {8, 2}, 128, 144)),
                                    144));
                },
                "has dtype F64; F32, F16 and BF16 are served",
                "has dtype I8; F32, F16 and BF16 are served");
    }

    /** DoRA, the LM head and the embedding. */
    private void forms() {
        String magnitude = PREFIX + "0.self_attn.q_proj.lora_magnitude_vector";
        String head = "base_model.model.lm_head.";
        String embedding = "base_model.model.model.embed_tokens.";
        Map<String, String> dora = Map.of("use_dora", "true");
        Map<String, String> own = Map.of("modules_to_save", "[\"lm_head\"]");
        String targets = "[\"q_proj\",\"down_proj\",";
        form(
                "dora-of-one-linear",
                dora,
                tensors -> tensors.put(magnitude, TestFolders.values(8)),
                "down_proj has no magnitudes");
        form(
                "magnitudes-of-a-wider-base",
                dora,
                tensors -> putMagnitudes(tensors, 16),
                "has shape [16], but a vector of 8 magnitudes is needed");
        form(
                "magnitudes-are-a-matrix",
                dora,
                tensors -> {
                    putMagnitudes(tensors, 8);
                    tensors.put(magnitude, TestFolders.values(4, 2));
                },
                "has shape [4, 2], but a vector of 8 magnitudes is needed");
        form(
                "magnitudes-not-finite",
                dora,
                tensors -> {
                    putMagnitudes(tensors, 8);
                    put(tensors, magnitude, 3, Float.NaN);
                },
                "'" + magnitude + "' holds a number that is not finite, at element 3");
        form(
                "magnitudes-of-nobody",
                dora,
                tensors -> {
                    putMagnitudes(tensors, 8);
                    tensors.put(PREFIX + "0.mlp.up_proj.lora_magnitude_vector", TestFolders.values(12));
                },
                "is there, but model.layers.0.mlp.up_proj has no A and B");
        form(
                "dora-of-the-head",
                Map.of("use_dora", "true", "target_modules", targets + "\"lm_head\"]"),
                tensors -> {
                    putMagnitudes(tensors, 8);
                    putPair(tensors, head + "lora_%s.weight", 8, TestFolders.VOCAB);
                },
                "DoRA on lm_head is not served");
        form(
                "head-of-a-larger-vocabulary",
                Map.of("target_modules", targets + "\"lm_head\"]"),
                tensors -> putPair(tensors, head + "lora_%s.weight", 8, TestFolders.VOCAB + 8),
                "output features: this adapter is for another base");
        form(
                "embedding-turned-round",
                Map.of("target_modules", targets + "\"embed_tokens\"]"),
                tensors -> putPair(tensors, embedding + "lora_embedding_%s", 8, TestFolders.VOCAB),
                "lora_embedding_A' has shape");
        form(
                "copy-of-the-base",
                Map.of("target_modules", targets + "\"embed_tokens\"]"),
                tensors -> {
                    putPair(tensors, embedding + "lora_embedding_%s", TestFolders.VOCAB, 8);
                    tensors.put(embedding + "base_layer.weight", TestFolders.values(TestFolders.VOCAB, 8));
                },
                "is a copy of the base model's weights; save the adapter with save_embedding_layers=False");
        form(
                "own-head-without-a-word",
                Map.of(),
                tensors -> tensors.put(head + "weight", TestFolders.values(TestFolders.VOCAB, 8)),
                "is there, but modules_to_save does not name lm_head");
        form(
                "own-head-of-a-larger-vocabulary",
                own,
                tensors -> tensors.put(head + "weight", TestFolders.values(TestFolders.VOCAB + 1, 8)),
                "but the base model's LM head has [" + TestFolders.VOCAB + ", 8]");
        form(
                "own-head-and-lora-of-it",
                Map.of("modules_to_save", "[\"lm_head\"]", "target_modules", targets + "\"lm_head\"]"),
                tensors -> {
                    tensors.put(head + "weight", TestFolders.values(TestFolders.VOCAB, 8));
                    putPair(tensors, head + "lora_%s.weight", 8, TestFolders.VOCAB);
                },
                "lm_head has LoRA and is in modules_to_save");
    }

    private void form(String name, Map<String, String> settings, Bend bend, String... sentences) {
        add(
                name,
                folder -> {
                    Map<String, String> config = TestFolders.adapterConfig();
                    // In an order that is the same in every run.
                    new TreeMap<>(settings).forEach(config::put);
                    Map<String, Values> tensors = TestFolders.adapterTensors();
                    bend.bend(tensors);
                    TestFolders.adapter(folder, config, tensors);
                },
                sentences);
    }

    private static void putMagnitudes(Map<String, Values> tensors, int length) {
        for (String name : List.copyOf(tensors.keySet())) {
            if (name.endsWith("lora_A.weight")) {
                tensors.put(name.replace("lora_A.weight", "lora_magnitude_vector"), TestFolders.values(length));
            }
        }
    }

    private static void putPair(Map<String, Values> tensors, String form, int in, int out) {
        tensors.put(String.format(form, "A"), TestFolders.values(2, in));
        tensors.put(String.format(form, "B"), TestFolders.values(out, 2));
    }

    private void contents() {
        tensor(
                "b-all-zero",
                tensors -> tensors.replaceAll(
                        (name, values) -> name.contains("lora_B") ? TestFolders.zeros(values.shape()) : values),
                "the adapter changes nothing");
        tensor(
                "a-all-zero",
                tensors -> tensors.replaceAll(
                        (name, values) -> name.contains("lora_A") ? TestFolders.zeros(values.shape()) : values),
                "the adapter changes nothing");
        setting("alpha-zero", "lora_alpha", "0", "the adapter changes nothing");
        tensor(
                "a-not-a-number",
                tensors -> put(tensors, Q0A, 5, Float.NaN),
                "'" + Q0A + "' holds a number that is not finite, at element 5");
        tensor(
                "b-infinite",
                tensors -> put(tensors, Q0B, 15, Float.NEGATIVE_INFINITY),
                "'" + Q0B + "' holds a number that is not finite, at element 15");
        // Finite, but what is multiplied by them soon is not: training that diverged.
        tensor(
                "a-enormous",
                tensors -> put(tensors, Q0A, 3, -1e30f),
                "'" + Q0A + "' holds a number of a size above 65504, at element 3");
        tensor(
                "b-one-step-too-large",
                tensors -> put(tensors, Q0B, 2, Math.nextUp(65_504f)),
                "'" + Q0B + "' holds a number of a size above 65504, at element 2");
        tensor(
                "both-not-finite",
                tensors -> {
                    put(tensors, Q0A, 0, Float.NaN);
                    put(tensors, DOWN1A, 1, Float.POSITIVE_INFINITY);
                },
                "'" + Q0A + "' holds a number that is not finite, at element 0",
                "'" + DOWN1A + "' holds a number that is not finite, at element 1");
    }

    private static void put(Map<String, Values> tensors, String name, int at, float number) {
        tensors.getOrDefault(name, TestFolders.zeros(1)).values()[at] = number;
    }

    static String entry(String name, String type, int[] shape, long begin, long end) {
        return SafetensorsWriter.entry(name, type, shape, begin, end);
    }

    static byte[] length(byte[] file, long headerBytes) {
        ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN).putLong(0, headerBytes);
        return file;
    }

    static byte[] text(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Writes the corpus. */
    static Map<String, List<String>> write(Path corpus) throws IOException {
        Map<String, List<String>> written = new LinkedHashMap<>();
        for (Kind kind : all()) {
            Path folder = corpus.resolve(kind.name());
            ContentStore.delete(folder);
            kind.maker().write(folder);
            Files.write(folder.resolve("refusal.txt"), kind.sentences());
            written.put(kind.name(), kind.sentences());
        }
        return written;
    }
}
