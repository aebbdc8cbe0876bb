package io.chorale.api;

import io.chorale.core.model.Check;
import io.chorale.core.model.SamplingParams;

/**
 * How tokens are drawn where a request does not say: OpenAI's way, or as a checkpoint's {@code generation_config.json} wants
 * it.
 *
 * @param topK 0 is off
 */
public record SamplingDefaults(float temperature, int topK, float topP, float minP, float repetitionPenalty) {
    public static final SamplingDefaults OPENAI = new SamplingDefaults(1, 0, 1, 0, 1);

    public SamplingDefaults {
        Check.argument(temperature >= 0 && temperature <= 100, () -> "temperature must be between 0 and 100");
        Check.argument(topK >= 0, () -> "top_k must not be less than -1");
        Check.argument(topP >= 0 && topP <= 1, () -> "top_p must be between 0 and 1");
        Check.argument(minP >= 0 && minP <= 1, () -> "min_p must be between 0 and 1");
        Check.argument(
                repetitionPenalty >= SamplingParams.REPETITION_PENALTY_MIN
                        && repetitionPenalty <= SamplingParams.REPETITION_PENALTY_MAX,
                () -> "repetition_penalty must be between " + SamplingParams.REPETITION_PENALTY_MIN + " and "
                        + SamplingParams.REPETITION_PENALTY_MAX);
    }
}
