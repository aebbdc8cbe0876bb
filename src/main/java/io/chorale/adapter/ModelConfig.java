package io.chorale.adapter;

import java.nio.file.Path;
import java.util.List;
import java.util.OptionalInt;

/**
 * What {@code config.json} says about a model, with the defaults that its family has. An architecture or a feature that
 * is not served is refused with its name: a model that is computed only nearly as it was trained answers wrongly without
 * a word.
 *
 * @param windows by layer, tokens that attention sees, the row's own included; 0: all
 * @param qkvBias whether query, key and value projections have biases
 * @param outBias whether the attention's output projection has one
 * @param mlpBias whether the three linears of the feed-forward part have them
 * @param qkNorm whether each query and key head is normalised
 * @param tied whether the head is the embedding
 */
record ModelConfig(
        ModelShape shape,
        RotaryEmbedding rotary,
        int[] windows,
        boolean qkvBias,
        boolean outBias,
        boolean mlpBias,
        boolean qkNorm,
        boolean tied,
        float rmsEps) {
    private static final long FILE_BYTES_MAX = 16L << 20;

    private static final int LAYERS_MAX = 1024;
    private static final int HEADS_MAX = 4096;
    private static final int HEAD_DIM_MAX = 4096;
    private static final int WIDTH_MAX = 1 << 20;
    private static final int VOCAB_MAX = 1 << 24;
    private static final int CONTEXT_MAX = 1 << 28;
    private static final int WINDOW_DEFAULT = 4096;
    private static final String NO_BIAS = "";

    /** What a family of models leaves out of its configuration, and which parts it has. */
    private enum Family {
        LLAMA("LlamaForCausalLM", "llama", 2048, 0, 0),
        MISTRAL("MistralForCausalLM", "mistral", 131_072, 8, 0),
        QWEN2("Qwen2ForCausalLM", "qwen2", 32_768, 32, 0),
        QWEN3("Qwen3ForCausalLM", "qwen3", 32_768, 32, 128);

        final String architecture;
        final String modelType;
        final int contextDefault;
        /** Key and value heads when the field is absent; 0: as many as query heads. */
        final int kvHeadsDefault;
        /** Dimensions of a head when the field is absent; 0: hidden size by heads. */
        final int headDimDefault;

        Family(String architecture, String modelType, int contextDefault, int kvHeadsDefault, int headDimDefault) {
            this.architecture = architecture;
            this.modelType = modelType;
            this.contextDefault = contextDefault;
            this.kvHeadsDefault = kvHeadsDefault;
            this.headDimDefault = headDimDefault;
        }

        boolean isQwen() {
            return this == QWEN2 || this == QWEN3;
        }

        static Family of(JsonObject config) throws FileRejectedException {
            List<String> architectures = config.texts("architectures");
            String field = architectures.isEmpty() ? "model_type" : "architectures";
            String name = architectures.isEmpty() ? config.text("model_type", "") : String.join(", ", architectures);
            for (Family family : values()) {
                if (name.equals(architectures.isEmpty() ? family.modelType : family.architecture)) {
                    return family;
                }
            }
            throw config.wrong(
                    field,
                    "is " + JsonObject.shown(name) + ", which is not served; LlamaForCausalLM, MistralForCausalLM,"
                            + " Qwen2ForCausalLM and Qwen3ForCausalLM are");
        }
    }

    static ModelConfig read(Path file) throws FileRejectedException {
        return of(readJson(file));
    }

    static JsonObject readJson(Path file) throws FileRejectedException {
        return JsonText.readObject(file, FILE_BYTES_MAX);
    }

    static ModelConfig of(JsonObject config) throws FileRejectedException {
        Family family = Family.of(config);
        refuseUnserved(config);
        ModelShape shape = shape(config, family);
        double eps = config.number("rms_norm_eps", 1e-6);
        if (!(eps > 0 && eps < 1)) {
            throw config.wrong("rms_norm_eps", "must be between 0 and 1, not " + JsonObject.shown(eps));
        }
        boolean attentionBias = biasSetting(config, family == Family.MISTRAL ? NO_BIAS : "attention_bias");
        return new ModelConfig(
                shape,
                RotaryEmbedding.of(config, shape.headDim(), shape.contextMax()),
                windows(config, family, shape.layers()),
                family == Family.QWEN2 || attentionBias,
                family != Family.QWEN2 && attentionBias,
                biasSetting(config, family == Family.LLAMA ? "mlp_bias" : NO_BIAS),
                family == Family.QWEN3,
                config.flag("tie_word_embeddings", false),
                (float) eps);
    }

    private static boolean biasSetting(JsonObject config, String name) throws FileRejectedException {
        return !name.equals(NO_BIAS) && config.flag(name, false);
    }

    private static void refuseUnserved(JsonObject config) throws FileRejectedException {
        String activation = config.text("hidden_act", "silu");
        if (!activation.equals("silu") && !activation.equals("swish")) {
            throw config.wrong("hidden_act", "is " + JsonObject.shown(activation) + "; only silu is served");
        }
        for (String name : List.of("quantization_config", "compression_config")) {
            if (config.has(name)) {
                String method = config.object(name).text("quant_method", "an unnamed method");
                throw config.wrong(
                        name, "says that the weights are quantised (" + method + "); F32, F16 and BF16 are served");
            }
        }
    }

    private static ModelShape shape(JsonObject config, Family family) throws FileRejectedException {
        int hidden = config.required("hidden_size", 1, WIDTH_MAX);
        int heads = config.required("num_attention_heads", 1, HEADS_MAX);
        int kvHeadsAbsent =
                config.mentions("num_key_value_heads") || family.kvHeadsDefault == 0 ? heads : family.kvHeadsDefault;
        int kvHeads = config.integer("num_key_value_heads", 1, HEADS_MAX, kvHeadsAbsent);
        if (heads % kvHeads != 0) {
            throw config.wrong(
                    "num_key_value_heads", "is " + kvHeads + ", which does not divide the " + heads + " query heads");
        }
        ModelShape shape = new ModelShape(
                family.architecture,
                config.required("num_hidden_layers", 1, LAYERS_MAX),
                hidden,
                config.required("intermediate_size", 1, WIDTH_MAX),
                heads,
                kvHeads,
                headDim(config, family, hidden, heads),
                config.required("vocab_size", 1, VOCAB_MAX),
                config.integer("max_position_embeddings", 1, CONTEXT_MAX, family.contextDefault));
        if ((long) heads * shape.headDim() > WIDTH_MAX) {
            throw config.wrong("head_dim", "times the heads is more than " + WIDTH_MAX);
        }
        return shape;
    }

    private static int headDim(JsonObject config, Family family, int hidden, int heads) throws FileRejectedException {
        OptionalInt given = config.integer("head_dim", 2, HEAD_DIM_MAX);
        if (given.isEmpty() && family.headDimDefault == 0 && hidden % heads != 0) {
            throw config.wrong("hidden_size", "is " + hidden + ", not a multiple of the " + heads + " heads");
        }
        int headDim = given.orElse(family.headDimDefault > 0 ? family.headDimDefault : hidden / heads);
        if (headDim % 2 != 0) {
            throw config.wrong("head_dim", "is " + headDim + "; dimensions are rotated in pairs, so it must be even");
        }
        return headDim;
    }

    /** Mistral's layers all have the window; Qwen's those that {@code layer_types} or {@code max_window_layers} name. */
    private static int[] windows(JsonObject config, Family family, int layers) throws FileRejectedException {
        int[] windows = new int[layers];
        boolean used = family == Family.MISTRAL || (family.isQwen() && config.flag("use_sliding_window", false));
        int absent = config.mentions("sliding_window") ? 0 : WINDOW_DEFAULT;
        int window = used ? config.integer("sliding_window", 1, Integer.MAX_VALUE, absent) : 0;
        List<String> types = family.isQwen() ? config.texts("layer_types") : List.of();
        if (!types.isEmpty() && types.size() != layers) {
            throw config.wrong("layer_types", "has " + types.size() + " entries for " + layers + " layers");
        }
        int from = family.isQwen() ? config.integer("max_window_layers", 0, Integer.MAX_VALUE, 28) : 0;
        for (int layer = 0; layer < layers; layer++) {
            boolean sliding = types.isEmpty() ? layer >= from : isSliding(types.get(layer), config);
            if (sliding && window == 0 && !types.isEmpty()) {
                throw config.wrong("layer_types", "has sliding layers, but there is no sliding_window in use");
            }
            windows[layer] = sliding ? window : 0;
        }
        return windows;
    }

    private static boolean isSliding(String layerType, JsonObject config) throws FileRejectedException {
        return switch (layerType) {
            case "full_attention" -> false;
            case "sliding_attention" -> true;
            default ->
                throw config.wrong("layer_types", "names " + JsonObject.shown(layerType) + ", which is not served");
        };
    }
}
