package io.chorale.parity;

import io.chorale.adapter.SafetensorsWriter;
import io.chorale.adapter.SafetensorsWriter.Values;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.StringJoiner;

/**
 * A small random model of any shape: its files as a trainer would save them, and its weights for the oracle.
 *
 * @param settings of config.json, as JSON text by name, sizes included
 * @param type of the weights in the files
 * @param shards files that the tensors are spread over
 */
record OddModel(String name, String architecture, Map<String, String> settings, String type, int shards, long seed) {
    static final List<String> TARGETS = List.of(
            "self_attn.q_proj",
            "self_attn.k_proj",
            "self_attn.v_proj",
            "self_attn.o_proj",
            "mlp.gate_proj",
            "mlp.up_proj",
            "mlp.down_proj");

    static OddModel of(String name, String architecture, String type, int shards, String... settings) {
        Map<String, String> map = new LinkedHashMap<>();
        for (int i = 0; i < settings.length; i += 2) {
            map.put(settings[i], settings[i + 1]);
        }
        return new OddModel(name, architecture, map, type, shards, name.hashCode());
    }

    int size(String setting) {
        return Integer.parseInt(settings.getOrDefault(setting, "0"));
    }

    double number(String setting, double otherwise) {
        return settings.containsKey(setting) ? Double.parseDouble(settings.get(setting)) : otherwise;
    }

    boolean flag(String setting) {
        return settings.getOrDefault(setting, "false").equals("true");
    }

    boolean is(String family) {
        return architecture.startsWith(family);
    }

    int headDim() {
        return size("head_dim") > 0 ? size("head_dim") : size("hidden_size") / size("num_attention_heads");
    }

    int kvHeads() {
        return size("num_key_value_heads") > 0 ? size("num_key_value_heads") : size("num_attention_heads");
    }

    /** Rows and columns of a linear. */
    int[] shape(String target) {
        int hidden = size("hidden_size");
        int heads = size("num_attention_heads") * headDim();
        int middle = size("intermediate_size");
        return switch (target.substring(target.indexOf('.') + 1)) {
            case "q_proj" -> new int[] {heads, hidden};
            case "k_proj", "v_proj" -> new int[] {kvHeads() * headDim(), hidden};
            case "o_proj" -> new int[] {hidden, heads};
            case "down_proj" -> new int[] {hidden, middle};
            default -> new int[] {middle, hidden};
        };
    }

    boolean hasBias(String target) {
        boolean attention = target.startsWith("self_attn");
        if (is("Qwen2")) {
            return attention && !target.endsWith("o_proj");
        }
        return attention ? flag("attention_bias") : flag("mlp_bias");
    }

    /** All tensors by name, their values as a file of this type holds them. */
    Map<String, Values> tensors() {
        Random random = new Random(seed);
        int hidden = size("hidden_size");
        Map<String, Values> tensors = new LinkedHashMap<>();
        int[] table = {size("vocab_size"), hidden};
        tensors.put("model.embed_tokens.weight", random(random, type, 0, 0.5, table));
        for (int layer = 0; layer < size("num_hidden_layers"); layer++) {
            String prefix = "model.layers." + layer + ".";
            tensors.put(prefix + "input_layernorm.weight", random(random, "F32", 1, 0.1, hidden));
            tensors.put(prefix + "post_attention_layernorm.weight", random(random, type, 1, 0.1, hidden));
            if (is("Qwen3")) {
                tensors.put(prefix + "self_attn.q_norm.weight", random(random, type, 1, 0.1, headDim()));
                tensors.put(prefix + "self_attn.k_norm.weight", random(random, type, 1, 0.1, headDim()));
            }
            for (String target : TARGETS) {
                tensors.put(prefix + target + ".weight", random(random, type, 0, 0.12, shape(target)));
                if (hasBias(target)) {
                    tensors.put(prefix + target + ".bias", random(random, type, 0, 0.2, shape(target)[0]));
                }
            }
        }
        tensors.put("model.norm.weight", random(random, type, 1, 0.1, hidden));
        if (!flag("tie_word_embeddings")) {
            tensors.put("lm_head.weight", random(random, type, 0, 0.12, table));
        }
        return tensors;
    }

    /** Writes config.json and the weights, as one file or as shards with an index. */
    Path write(Path parent) throws IOException {
        Path folder = Files.createDirectories(parent.resolve(name));
        StringJoiner config = new StringJoiner(",\n  ", "{\n  ", "\n}\n");
        config.add("\"architectures\": [\"" + architecture + "\"]");
        settings.forEach((key, value) -> config.add("\"" + key + "\": " + value));
        Files.writeString(folder.resolve("config.json"), config.toString());
        List<SafetensorsWriter> files = new ArrayList<>();
        for (int i = 0; i < shards; i++) {
            files.add(new SafetensorsWriter());
        }
        StringJoiner index = new StringJoiner(", ", "{\"metadata\": {}, \"weight_map\": {", "}}");
        int next = 0;
        for (Map.Entry<String, Values> tensor : tensors().entrySet()) {
            int shard = next++ % shards;
            files.get(shard).add(tensor.getKey(), tensor.getValue());
            index.add("\"" + tensor.getKey() + "\": \"" + fileName(shard) + "\"");
        }
        for (int i = 0; i < shards; i++) {
            files.get(i).write(folder.resolve(fileName(i)));
        }
        if (shards > 1) {
            Files.writeString(folder.resolve("model.safetensors.index.json"), index.toString());
        }
        return folder;
    }

    private String fileName(int shard) {
        return shards == 1 ? "model.safetensors" : String.format("model-%05d-of-%05d.safetensors", shard + 1, shards);
    }

    static Values random(Random random, String type, double mean, double deviation, int... shape) {
        int count = 1;
        for (int size : shape) {
            count *= size;
        }
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) (mean + deviation * random.nextGaussian());
        }
        return new Values(type, shape, values);
    }
}
