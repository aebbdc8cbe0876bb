package io.chorale.adapter;

import io.chorale.adapter.SafetensorsWriter.Values;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.StringJoiner;

/** A tiny Llama and an adapter for it, as maps that a test bends before they are written. */
final class TestFolders {
    static final int HIDDEN = 8;
    static final int MIDDLE = 12;
    static final int VOCAB = 16;
    static final int LAYERS = 2;

    private TestFolders() {}

    static Map<String, String> modelConfig() {
        Map<String, String> config = new LinkedHashMap<>();
        config.put("architectures", "[\"LlamaForCausalLM\"]");
        config.put("hidden_size", "" + HIDDEN);
        config.put("intermediate_size", "" + MIDDLE);
        config.put("num_hidden_layers", "" + LAYERS);
        config.put("num_attention_heads", "2");
        config.put("num_key_value_heads", "1");
        config.put("vocab_size", "" + VOCAB);
        return config;
    }

    static Map<String, Values> modelTensors() {
        Map<String, Values> tensors = new LinkedHashMap<>();
        tensors.put("model.embed_tokens.weight", zeros(VOCAB, HIDDEN));
        for (int layer = 0; layer < LAYERS; layer++) {
            String prefix = "model.layers." + layer + ".";
            tensors.put(prefix + "input_layernorm.weight", zeros(HIDDEN));
            tensors.put(prefix + "post_attention_layernorm.weight", zeros(HIDDEN));
            tensors.put(prefix + "self_attn.q_proj.weight", zeros(8, HIDDEN));
            tensors.put(prefix + "self_attn.k_proj.weight", zeros(4, HIDDEN));
            tensors.put(prefix + "self_attn.v_proj.weight", zeros(4, HIDDEN));
            tensors.put(prefix + "self_attn.o_proj.weight", zeros(HIDDEN, 8));
            tensors.put(prefix + "mlp.gate_proj.weight", zeros(MIDDLE, HIDDEN));
            tensors.put(prefix + "mlp.up_proj.weight", zeros(MIDDLE, HIDDEN));
            tensors.put(prefix + "mlp.down_proj.weight", zeros(HIDDEN, MIDDLE));
        }
        tensors.put("model.norm.weight", zeros(HIDDEN));
        tensors.put("lm_head.weight", zeros(VOCAB, HIDDEN));
        return tensors;
    }

    static Map<String, String> adapterConfig() {
        Map<String, String> config = new LinkedHashMap<>();
        config.put("peft_type", "\"LORA\"");
        config.put("r", "2");
        config.put("lora_alpha", "4");
        config.put("target_modules", "[\"q_proj\", \"down_proj\"]");
        return config;
    }

    static Map<String, Values> adapterTensors() {
        Map<String, Values> tensors = new LinkedHashMap<>();
        for (int layer = 0; layer < LAYERS; layer++) {
            String prefix = "base_model.model.model.layers." + layer + ".";
            tensors.put(prefix + "self_attn.q_proj.lora_A.weight", values(2, HIDDEN));
            tensors.put(prefix + "self_attn.q_proj.lora_B.weight", values(8, 2));
            tensors.put(prefix + "mlp.down_proj.lora_A.weight", values(2, MIDDLE));
            tensors.put(prefix + "mlp.down_proj.lora_B.weight", values(HIDDEN, 2));
        }
        return tensors;
    }

    static Path model(Path folder, Map<String, String> config, Map<String, Values> tensors) throws IOException {
        return write(folder, "config.json", config, "model.safetensors", tensors);
    }

    static Path adapter(Path folder, Map<String, String> config, Map<String, Values> tensors) throws IOException {
        return write(folder, "adapter_config.json", config, "adapter_model.safetensors", tensors);
    }

    /** Small numbers, none of them zero. */
    static Values values(int... shape) {
        Values values = zeros(shape);
        for (int i = 0; i < values.values().length; i++) {
            values.values()[i] = (i % 7 - 3.5f) / 8;
        }
        return values;
    }

    static Values zeros(int... shape) {
        int count = 1;
        for (int size : shape) {
            count *= size;
        }
        return new Values("F32", shape, new float[count]);
    }

    static String json(Map<String, String> fields) {
        StringJoiner json = new StringJoiner(",", "{", "}");
        fields.forEach((key, value) -> json.add("\"" + key + "\":" + value));
        return json.toString();
    }

    private static Path write(
            Path folder, String configName, Map<String, String> config, String tensorsName, Map<String, Values> tensors)
            throws IOException {
        Files.createDirectories(folder);
        Files.writeString(folder.resolve(configName), json(config));
        SafetensorsWriter file = new SafetensorsWriter();
        tensors.forEach(file::add);
        file.write(folder.resolve(tensorsName));
        return folder;
    }
}
