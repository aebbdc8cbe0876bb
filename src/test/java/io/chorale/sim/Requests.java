package io.chorale.sim;

import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;

/** Requests for tests, varied by name: start from {@link #of} and change what matters. */
record Requests(
        long id,
        AdapterSet adapters,
        int[] prompt,
        int tokensMax,
        int tokensMin,
        int[] stops,
        float repetition,
        int topLogProbs,
        int[] biasIds,
        float[] biasValues,
        long ttftNanosMax) {

    static Requests of(long id, int promptTokens, int tokensMax) {
        int[] prompt = new int[promptTokens];
        for (int i = 0; i < promptTokens; i++) {
            prompt[i] = (int) ((id * 31 + i * 7L) % 40);
        }
        return new Requests(id, AdapterSet.BASE, prompt, tokensMax, 0, new int[0], 1, -1, new int[0], new float[0], 0);
    }

    Requests adapter(int version) {
        return adapters(AdapterSet.of(version));
    }

    Requests adapters(AdapterSet set) {
        return new Requests(
                id,
                set,
                prompt,
                tokensMax,
                tokensMin,
                stops,
                repetition,
                topLogProbs,
                biasIds,
                biasValues,
                ttftNanosMax);
    }

    Requests stops(int min, int... ids) {
        return new Requests(
                id, adapters, prompt, tokensMax, min, ids, repetition, topLogProbs, biasIds, biasValues, ttftNanosMax);
    }

    Requests penalties() {
        return new Requests(
                id,
                adapters,
                prompt,
                tokensMax,
                tokensMin,
                stops,
                1.2f,
                topLogProbs,
                biasIds,
                biasValues,
                ttftNanosMax);
    }

    Requests topLogProbs(int count) {
        return new Requests(
                id,
                adapters,
                prompt,
                tokensMax,
                tokensMin,
                stops,
                repetition,
                count,
                biasIds,
                biasValues,
                ttftNanosMax);
    }

    Requests bias(int token, float value) {
        return new Requests(
                id,
                adapters,
                prompt,
                tokensMax,
                tokensMin,
                stops,
                repetition,
                topLogProbs,
                new int[] {token},
                new float[] {value},
                ttftNanosMax);
    }

    Requests ttft(long nanos) {
        return new Requests(
                id, adapters, prompt, tokensMax, tokensMin, stops, repetition, topLogProbs, biasIds, biasValues, nanos);
    }

    RequestSpec at(long arrivalNanos) {
        SamplingParams sampling = new SamplingParams(
                0, 0, 1, 0, repetition, 0, 0, id, tokensMax, tokensMin, stops, topLogProbs, biasIds, biasValues);
        return new RequestSpec(id, 0, adapters, prompt, sampling, ttftNanosMax, 0, arrivalNanos);
    }
}
