package io.chorale.core.model;

/**
 * How the tokens of one request are drawn and when it ends. Validated: a value out of range never reaches the engine.
 *
 * @param temperature 0 is greedy
 * @param topK 0 is off
 * @param topP in (0, 1]; 1 is off
 * @param minP in [0, 1]; 0 is off
 * @param repetitionPenalty in [0.01, 100]; 1 is off; counts prompt and answer
 * @param presencePenalty 0 is off; counts the answer only
 * @param frequencyPenalty 0 is off; counts the answer only
 * @param seed a draw depends on seed, position and token alone
 * @param tokensMax tokens of the answer at most, at least 1
 * @param tokensMin stop tokens are forbidden until the answer has this many
 * @param stopTokenIds tokens that end the answer (the model's end tokens too, unless they are to be ignored)
 * @param topLogProbs -1: no log-probabilities; n: the drawn token's and the n best
 * @param biasIds tokens whose logit is changed
 * @param biasValues what is added to it, same length
 */
public record SamplingParams(
        float temperature,
        int topK,
        float topP,
        float minP,
        float repetitionPenalty,
        float presencePenalty,
        float frequencyPenalty,
        long seed,
        int tokensMax,
        int tokensMin,
        int[] stopTokenIds,
        int topLogProbs,
        int[] biasIds,
        float[] biasValues) {

    public static final int TOP_LOGPROBS_MAX = 20;

    /** Logits are divided by it: far below, they would leave the range of numbers. */
    public static final float REPETITION_PENALTY_MIN = 0.01f;

    public static final float REPETITION_PENALTY_MAX = 100;

    public SamplingParams {
        Check.argument(temperature >= 0 && temperature <= 100, () -> "temperature must be between 0 and 100");
        Check.argument(topK >= 0, () -> "top_k must not be negative");
        Check.argument(topP > 0 && topP <= 1, () -> "top_p must be in (0, 1]");
        Check.argument(minP >= 0 && minP <= 1, () -> "min_p must be in [0, 1]");
        Check.argument(
                repetitionPenalty >= REPETITION_PENALTY_MIN && repetitionPenalty <= REPETITION_PENALTY_MAX,
                () -> "repetition_penalty must be in [" + REPETITION_PENALTY_MIN + ", " + REPETITION_PENALTY_MAX + "]");
        Check.argument(Math.abs(presencePenalty) <= 2, () -> "presence_penalty must be in [-2, 2]");
        Check.argument(Math.abs(frequencyPenalty) <= 2, () -> "frequency_penalty must be in [-2, 2]");
        Check.argument(tokensMax >= 1, () -> "max_tokens must be at least 1");
        Check.argument(tokensMin >= 0 && tokensMin <= tokensMax, () -> "min_tokens must be in [0, max_tokens]");
        Check.argument(
                topLogProbs >= -1 && topLogProbs <= TOP_LOGPROBS_MAX,
                () -> "top_logprobs must be in [0, " + TOP_LOGPROBS_MAX + "]");
        Check.argument(biasIds.length == biasValues.length, () -> "logit_bias ids and values differ in number");
        for (float bias : biasValues) {
            Check.argument(Math.abs(bias) <= 100, () -> "logit_bias values must be in [-100, 100]");
        }
    }

    /** Greedy, without penalties: what tests and benchmarks start from. */
    public static SamplingParams greedy(int tokensMax, int... stopTokenIds) {
        return new SamplingParams(0, 0, 1, 0, 1, 0, 0, 0, tokensMax, 0, stopTokenIds, -1, new int[0], new float[0]);
    }

    public boolean wantsTokenCounts() {
        return repetitionPenalty != 1 || presencePenalty != 0 || frequencyPenalty != 0;
    }

    /** Whether a token ends the answer; asked for every token that is drawn. */
    public boolean stopsAt(int tokenId) {
        for (int stop : stopTokenIds) {
            if (stop == tokenId) {
                return true;
            }
        }
        return false;
    }
}
