package io.chorale.adapter;

import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The frequencies by which a model rotates queries and keys, computed in float32 step by step as the library that the
 * model was trained with does: at position 100,000 the last bit of a frequency is a hundredth of a radian.
 *
 * @param inverseFrequencies one for each pair of dimensions
 * @param magnitude factor on cosine and sine
 */
record RotaryEmbedding(float[] inverseFrequencies, float magnitude) {
    private static final double THETA_DEFAULT = 10_000;
    private static final String KINDS = "default, linear, llama3 and yarn are served";

    /** @param dims of a head; all are rotated */
    static RotaryEmbedding of(JsonObject config, int dims, int contextMax) throws FileRejectedException {
        JsonObject settings = settings(config);
        String kind = settings.text("rope_type", settings.text("type", "default"));
        double theta = positive(settings, "rope_theta", config.number("rope_theta", THETA_DEFAULT));
        if (settings.number("partial_rotary_factor", config.number("partial_rotary_factor", 1)) != 1) {
            throw settings.wrong("partial_rotary_factor", "is not 1: partly rotated heads are not served");
        }
        return switch (kind) {
            case "default" -> new RotaryEmbedding(plain(theta, dims), 1);
            case "linear" -> linear(settings, theta, dims);
            case "llama3" -> llama3(config, settings, theta, dims, contextMax);
            case "yarn" -> yarn(config, settings, theta, dims, contextMax);
            default -> throw settings.wrong("rope_type", "is " + JsonObject.shown(kind) + "; " + KINDS);
        };
    }

    /** New files have {@code rope_parameters}, older ones {@code rope_scaling} and a {@code rope_theta} beside it. */
    private static JsonObject settings(JsonObject config) throws FileRejectedException {
        JsonObject old = config.object("rope_scaling");
        JsonObject settings = old.fields().isEmpty() ? config.object("rope_parameters") : old;
        for (Map.Entry<String, @Nullable Object> field : settings.fields().entrySet()) {
            if (field.getValue() instanceof Map) {
                throw settings.wrong(field.getKey(), "is an object: rotary settings by layer type are not served");
            }
        }
        return settings;
    }

    private static float[] plain(double theta, int dims) {
        float[] inverse = new float[dims / 2];
        for (int i = 0; i < inverse.length; i++) {
            inverse[i] = 1 / power(theta, i, dims);
        }
        return inverse;
    }

    private static float power(double theta, int pair, int dims) {
        return (float) Math.pow((float) theta, 2f * pair / dims);
    }

    private static RotaryEmbedding linear(JsonObject settings, double theta, int dims) throws FileRejectedException {
        float factor = (float) positive(settings, "factor", Double.NaN);
        float[] inverse = plain(theta, dims);
        for (int i = 0; i < inverse.length; i++) {
            inverse[i] /= factor;
        }
        return new RotaryEmbedding(inverse, 1);
    }

    /** Llama 3.1: long waves are stretched by {@code factor}, short ones kept, those between blended. */
    private static RotaryEmbedding llama3(
            JsonObject config, JsonObject settings, double theta, int dims, int contextMax)
            throws FileRejectedException {
        double factor = positive(settings, "factor", Double.NaN);
        double low = positive(settings, "low_freq_factor", Double.NaN);
        double high = positive(settings, "high_freq_factor", Double.NaN);
        double context = contextBefore(config, settings, contextMax);
        if (high <= low) {
            throw settings.wrong("high_freq_factor", "must be greater than low_freq_factor");
        }
        float[] inverse = plain(theta, dims);
        for (int i = 0; i < inverse.length; i++) {
            float wave = (float) (2 * Math.PI) * (1 / inverse[i]);
            float stretched = inverse[i] / (float) factor;
            if (wave > (float) (context / low)) {
                inverse[i] = stretched;
            } else if (!(wave < (float) (context / high))) {
                float smooth = ((float) context * (1 / wave) - (float) low) / (float) (high - low);
                inverse[i] = (1 - smooth) * inverse[i] / (float) factor + smooth * inverse[i];
            }
        }
        return new RotaryEmbedding(inverse, 1);
    }

    /** YaRN (arXiv 2309.00071): interpolates slow dimensions, keeps fast ones, a linear ramp between. */
    private static RotaryEmbedding yarn(JsonObject config, JsonObject settings, double theta, int dims, int contextMax)
            throws FileRejectedException {
        double context = contextBefore(config, settings, contextMax);
        if (!settings.mentions("factor")) {
            throw settings.wrong("factor", "is missing");
        }
        double factor = positive(settings, "factor", contextMax / context);
        double fast = orDefault(settings.number("beta_fast", 0), 32);
        double slow = orDefault(settings.number("beta_slow", 0), 1);
        double from = correctionDim(fast, dims, theta, context);
        double to = correctionDim(slow, dims, theta, context);
        if (settings.flag("truncate", true)) {
            from = Math.floor(from);
            to = Math.ceil(to);
        }
        from = Math.max(from, 0);
        to = Math.min(to, dims - 1);
        if (from == to) {
            to += 0.001;
        }
        float[] inverse = new float[dims / 2];
        for (int i = 0; i < inverse.length; i++) {
            float power = power(theta, i, dims);
            float ramp = Math.clamp((i - (float) from) / (float) (to - from), 0f, 1f);
            float keep = 1 - ramp;
            inverse[i] = 1 / ((float) factor * power) * (1 - keep) + 1 / power * keep;
        }
        return new RotaryEmbedding(inverse, (float) yarnMagnitude(settings, factor));
    }

    private static double yarnMagnitude(JsonObject settings, double factor) throws FileRejectedException {
        if (settings.has("attention_factor")) {
            return settings.number("attention_factor");
        }
        double scale = settings.number("mscale", 0);
        double scaleAllDims = settings.number("mscale_all_dim", 0);
        return scale != 0 && scaleAllDims != 0
                ? yarnScale(factor, scale) / yarnScale(factor, scaleAllDims)
                : yarnScale(factor, 1);
    }

    private static double yarnScale(double factor, double scale) {
        return factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1;
    }

    private static double correctionDim(double rotations, int dims, double theta, double context) {
        return dims * Math.log(context / (rotations * 2 * Math.PI)) / (2 * Math.log(theta));
    }

    /** The context that the model was made for before it was stretched. */
    private static double contextBefore(JsonObject config, JsonObject settings, int contextMax)
            throws FileRejectedException {
        String name = "original_max_position_embeddings";
        return config.has(name) ? positive(config, name, Double.NaN) : positive(settings, name, contextMax);
    }

    /** @param otherwise NaN: required */
    private static double positive(JsonObject settings, String name, double otherwise) throws FileRejectedException {
        double value = Double.isNaN(otherwise) ? settings.number(name) : settings.number(name, otherwise);
        if (!(value > 0) || Double.isInfinite(value)) {
            throw settings.wrong(name, "must be a positive number, not " + JsonObject.shown(value));
        }
        return value;
    }

    private static double orDefault(double value, double otherwise) {
        return value == 0 ? otherwise : value;
    }
}
