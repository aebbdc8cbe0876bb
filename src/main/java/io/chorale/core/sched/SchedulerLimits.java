package io.chorale.core.sched;

import io.chorale.core.model.Check;

/**
 * The bounds of scheduling. Every running sequence can have a row and a sample in every step: {@code sequencesMax} is at
 * most {@code stepTokensMax} and {@code samplesMax}.
 *
 * @param contextMax tokens of prompt and answer that the model can hold
 * @param vocab token ids are below it
 * @param layerGroups groups in which an adapter's layers are uploaded
 * @param stepTokensMax token budget: rows of one step at most; decode rows come first, prefill takes the rest
 * @param prefillChunkTokens rows of one sequence's prefill in one step at most
 * @param sequencesMax in one step
 * @param samplesMax sampled rows of one step
 * @param adaptersPerStepMax distinct adapters of the running sequences
 * @param bypassMax requests that may be admitted past one that is blocked at the head; then everybody waits for it
 * @param prefetchAdaptersMax adapters of waiting requests that are uploaded ahead in one step
 */
public record SchedulerLimits(
        int contextMax,
        int vocab,
        int layerGroups,
        int stepTokensMax,
        int prefillChunkTokens,
        int sequencesMax,
        int samplesMax,
        int adaptersPerStepMax,
        int bypassMax,
        int prefetchAdaptersMax) {

    public SchedulerLimits {
        Check.argument(contextMax >= 2, () -> "context must hold a prompt token and an answer token");
        Check.argument(vocab >= 1 && layerGroups >= 1, () -> "vocabulary and layer groups must be positive");
        Check.argument(prefillChunkTokens >= 1, () -> "prefill chunk must be at least one token");
        Check.argument(sequencesMax >= 1, () -> "at least one sequence must be able to run");
        Check.argument(
                sequencesMax <= stepTokensMax, () -> "step tokens must be at least as many as running sequences");
        Check.argument(sequencesMax <= samplesMax, () -> "samples must be at least as many as running sequences");
        Check.argument(adaptersPerStepMax >= 0, () -> "adapters per step must not be negative");
        Check.argument(bypassMax >= 0 && prefetchAdaptersMax >= 0, () -> "bypass and prefetch must not be negative");
    }

    /** Sequences that hold pages: as many as run, and as many again that merged steps of others hold back. */
    int liveMax() {
        return 2 * sequencesMax;
    }

    /** Usual settings for an engine that takes so many rows and sequences a step. */
    public static SchedulerLimits of(int contextMax, int vocab, int rowsMax, int sequencesMax, int adaptersMax) {
        return new SchedulerLimits(contextMax, vocab, 1, rowsMax, 512, sequencesMax, sequencesMax, adaptersMax, 64, 2);
    }
}
