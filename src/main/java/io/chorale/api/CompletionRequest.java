package io.chorale.api;

import io.chorale.core.model.Priority;
import io.chorale.core.model.SamplingParams;
import java.util.List;

/**
 * What a client asked for, checked: one or more prompts for one model, each answered {@code n} times.
 *
 * @param shape of the endpoint, and so of the answer
 * @param prompts at least one
 * @param n answers a prompt
 * @param sampling of the first answer to each prompt; the others differ in their seed
 * @param stops strings that end an answer
 * @param stopIncluded whether the stop string that ended it belongs to the answer
 * @param userStopIds stop tokens that the client named: the answer says which one ended it
 * @param specialTokensSkipped whether special tokens are left out of the text
 * @param echo whether the prompt is repeated before the answer
 * @param caller for whom it is
 * @param cacheSalt only requests with the same share what was computed of their prompts; 0: those without one
 * @param logProbs whether log-probabilities were asked for; how many is in {@code sampling}
 */
record CompletionRequest(
        Shape shape,
        ModelCatalog.Served model,
        List<Prompt> prompts,
        int n,
        List<SamplingParams> sampling,
        List<String> stops,
        boolean stopIncluded,
        int[] userStopIds,
        boolean specialTokensSkipped,
        boolean echo,
        boolean logProbs,
        boolean tokenIdsReturned,
        boolean tokensAsIds,
        boolean stream,
        boolean usageIncluded,
        boolean usageContinuous,
        Caller caller,
        Priority priority,
        long cacheSalt) {

    /** Which endpoint's form an answer has. */
    enum Shape {
        CHAT,
        TEXT
    }

    /** @param text what {@code echo} repeats; empty where it is not wanted */
    record Prompt(int[] ids, String text) {}

    int choices() {
        return prompts.size() * n;
    }

    Prompt promptOf(int choice) {
        return prompts.get(choice / n);
    }

    /** The sampling of one choice: same as the first for its prompt, with a seed of its own. */
    SamplingParams samplingOf(int choice) {
        SamplingParams first = sampling.get(choice / n);
        int answer = choice % n;
        return answer == 0 ? first : reseeded(first, first.seed() + answer * 0x9E3779B97F4A7C15L);
    }

    private static SamplingParams reseeded(SamplingParams s, long seed) {
        return new SamplingParams(
                s.temperature(),
                s.topK(),
                s.topP(),
                s.minP(),
                s.repetitionPenalty(),
                s.presencePenalty(),
                s.frequencyPenalty(),
                seed,
                s.tokensMax(),
                s.tokensMin(),
                s.stopTokenIds(),
                s.topLogProbs(),
                s.biasIds(),
                s.biasValues());
    }
}
