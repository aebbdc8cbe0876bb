package io.chorale.config;

import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithConverter;
import io.smallrye.config.WithDefault;
import java.nio.file.Path;
import java.util.Optional;

/** The bounds of one step. */
@ConfigMapping(prefix = "chorale.scheduler")
public interface SchedulerSettings {
    /** Token budget: rows of one step, decode rows first. */
    @WithDefault("2048")
    int stepTokensMax();

    /** Rows of one sequence's prefill in one step. */
    @WithDefault("512")
    int prefillChunkTokens();

    /** Sequences in one step; as many again keep their pages while merged steps of others hold them back. */
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

    /**
     * Whether computed pages of prompts and answers are kept for requests of the same tenant and adapter that begin alike.
     * They are as good as free: the oldest go when pages are wanted.
     */
    @WithDefault("true")
    @WithConverter(FlagText.class)
    boolean prefixCache();

    /**
     * File with what steps cost on this machine: read at start, corrected by every step, written at stop. Unset, or not there
     * yet: nothing is known at first, and nothing is merged before steps have shown that it pays.
     */
    Optional<Path> costProfile();
}
