package io.chorale.adapter;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What a tensor of a PEFT file belongs to, as its name says: perhaps a wrapper's prefix, the path of a module inside the
 * model, which of its matrices, and perhaps the adapter's name.
 *
 * @param module its path, such as {@code model.layers.3.mlp.up_proj}
 */
record PeftKey(String module, Part part) {
    /** A module's tensors. */
    enum Part {
        A,
        B,
        MAGNITUDE,
        /** The module's own weights, instead of the base model's. */
        WHOLE
    }

    /** There is no place for the tensor; the message says why, as the end of a sentence about it. */
    static final class WithoutPlaceException extends Exception {
        WithoutPlaceException(String why) {
            super(why, null, false, false);
        }
    }

    static final String HEAD = "lm_head";
    static final String EMBED = "model.embed_tokens";

    private static final String PREFIX = "(?:base_model\\.model\\.|base_model\\.)?";

    private static final Pattern LINEAR = Pattern.compile(PREFIX + "(?:model\\.)?layers\\.(?<layer>\\d{1,6})\\."
            + "(?<module>[a-z_]+\\.[a-z_]+)\\."
            + "(?:lora_(?<matrix>[AB])(?:\\.[^.]+)?\\.weight|lora_magnitude_vector(?:\\.[^.]+){0,2})");
    private static final Pattern OF_HEAD =
            Pattern.compile(PREFIX + "lm_head\\.lora_(?<matrix>[AB])(?:\\.[^.]+)?\\.weight");
    private static final Pattern OWN_HEAD =
            Pattern.compile(PREFIX + "lm_head(?:\\.modules_to_save(?:\\.[^.]+)?)?\\.weight");
    private static final Pattern OF_EMBEDDING = Pattern.compile(
            PREFIX + "(?:model\\.)?embed_tokens\\.lora_embedding_(?<matrix>[AB])(?:\\.[^.]+)?(?:\\.weight)?");
    private static final Pattern BASE_COPY =
            Pattern.compile(PREFIX + "(?:model\\.)?(?:embed_tokens|lm_head)\\.base_layer\\.weight");

    static PeftKey of(String name, ModelShape base) throws WithoutPlaceException {
        Matcher linear = LINEAR.matcher(name);
        if (linear.matches()) {
            return ofLinear(linear, base);
        }
        Matcher head = OF_HEAD.matcher(name);
        if (head.matches()) {
            return new PeftKey(HEAD, Part.valueOf(head.group("matrix")));
        }
        Matcher embedding = OF_EMBEDDING.matcher(name);
        if (embedding.matches()) {
            return new PeftKey(EMBED, Part.valueOf(embedding.group("matrix")));
        }
        if (OWN_HEAD.matcher(name).matches()) {
            return new PeftKey(HEAD, Part.WHOLE);
        }
        throw new WithoutPlaceException(
                BASE_COPY.matcher(name).matches()
                        ? "is a copy of the base model's weights; save the adapter with save_embedding_layers=False"
                        : "is not LoRA's A or B of a linear that is served");
    }

    private static PeftKey ofLinear(Matcher key, ModelShape base) throws WithoutPlaceException {
        int layer = Integer.parseInt(key.group("layer"));
        String module = key.group("module");
        Target target = Target.ofModule(module)
                .orElseThrow(() ->
                        new WithoutPlaceException("belongs to " + module + ", which the base model does not have"));
        if (layer >= base.layers()) {
            throw new WithoutPlaceException("belongs to layer " + layer + "; the base model has " + base.layers()
                    + ": this adapter is for another base");
        }
        String matrix = key.group("matrix");
        return new PeftKey(module(layer, target), matrix == null ? Part.MAGNITUDE : Part.valueOf(matrix));
    }

    static String module(int layer, Target target) {
        return "model.layers." + layer + "." + target.module;
    }
}
