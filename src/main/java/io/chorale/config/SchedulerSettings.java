package io.chorale.config;

import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithDefault;

/** The bounds of one step. */
@ConfigMapping(prefix = "chorale.scheduler")
public interface SchedulerSettings {
    /** Token budget: rows of one step, decode rows first. */
    @WithDefault("2048")
    int stepTokensMax();

    /** Rows of one sequence's prefill in one step. */
    @WithDefault("512")
    int prefillChunkTokens();

    /** Sequences that run at once. */
    @WithDefault("256")
    int sequencesMax();

    /** Distinct adapters among the running sequences. */
    @WithDefault("64")
    int adaptersPerStepMax();

    /** Requests that may be admitted past one that does not fit yet; then everybody waits for it. */
    @WithDefault("64")
    int bypassMax();

    /** Adapters of waiting requests that are uploaded ahead in one step. */
    @WithDefault("2")
    int prefetchAdaptersMax();
}
