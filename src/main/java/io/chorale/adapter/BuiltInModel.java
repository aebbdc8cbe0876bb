package io.chorale.adapter;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Optional;
import java.util.stream.Collectors;

/** Configurations of well-known models, to measure with where nobody has the model. */
public enum BuiltInModel {
    LLAMA_2_7B("llama-2-7b", """
            {"architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 11008,
             "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 32000,
             "max_position_embeddings": 4096, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "dtype": "bfloat16"}
            """),
    LLAMA_3_8B("llama-3-8b", """
            {"architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336,
             "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
             "max_position_embeddings": 8192, "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "dtype": "bfloat16"}
            """);

    private final String label;
    private final String json;

    BuiltInModel(String label, String json) {
        this.label = label;
        this.json = json;
    }

    /** What settings and clients call it. */
    public String label() {
        return label;
    }

    public static Optional<BuiltInModel> of(String label) {
        return Arrays.stream(values())
                .filter(model -> model.label.equals(label))
                .findFirst();
    }

    public static String labels() {
        return Arrays.stream(values()).map(BuiltInModel::label).collect(Collectors.joining(", "));
    }

    JsonObject config() throws FileRejectedException {
        return JsonText.readObject(label, json.getBytes(StandardCharsets.UTF_8));
    }
}
