package io.chorale.config;

import io.chorale.core.policy.MemoryRule;
import io.chorale.core.policy.PolicySettings;
import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithConverter;
import io.smallrye.config.WithDefault;
import java.time.Duration;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/**
 * Who is served next, who is given up, what is merged and evicted. A preset names all of it; every other key, where it is
 * set, exchanges one part. Any combination is valid.
 */
@ConfigMapping(prefix = "chorale.policy")
public interface PolicyOverrides {
    /** The starting point: chorale, or slora, dlora and fcfs to compare with. */
    @WithDefault("chorale")
    PolicySettings.Preset preset();

    /**
     * Who is next: fair (the least served tenant), arrival, newest, adaptive (newest first in overload, as in S-LoRA), credits
     * (arrival, but those held back by merging first, as in dLoRA).
     */
    Optional<PolicySettings.Order> order();

    /**
     * Which of one tenant's requests is next under fair: arrival, newest, adaptive (arrival, but newest while more come than
     * can be served within their objective), adapters (one with the least served adapter).
     */
    Optional<PolicySettings.Within> within();

    /** Service of a token of a prompt. */
    OptionalDouble inputPrice();

    /** Service of a token of an answer. */
    OptionalDouble outputPrice();

    /** Service of each page of an adapter that is uploaded. */
    OptionalDouble uploadPrice();

    /** Service of each step in which an adapter is merged. */
    OptionalDouble mergedPrice();

    /**
     * Whether requests whose adapter is in the batch may pass others: none, deficit (while they are ahead by no more than
     * the quantum), soft-limit (from so many adapters in the batch on, as in S-LoRA), one-at-a-time (only they, until the
     * batch has ended).
     */
    Optional<PolicySettings.Locality> clustering();

    /** Adapters in the batch from which on soft-limit clusters: S-LoRA's D. */
    OptionalInt clusterAdapters();

    /** Service by which a flow may be ahead of those whom it passes. */
    OptionalDouble quantum();

    /** How long the requests of one tenant with one adapter may be passed before one is taken out of turn. */
    Optional<Duration> patience();

    /** Who is given up while waiting: never, or by a constant or measured estimate of the time to first token. */
    Optional<PolicySettings.Estimate> abort();

    /** The constant estimate. */
    Optional<Duration> prefillEstimate();

    /** When a request fits: optimistic (now), peak-demand (at the worst moment of all answers at full length). */
    Optional<MemoryRule> memory();

    /** From one step in which requests join the batch to the next, at least; 1: any step. */
    OptionalInt admitEverySteps();

    /** Whether those who draw tokens wait while prompts are computed. */
    @WithConverter(FlagText.class)
    Optional<Boolean> prefillAlone();

    /** When an adapter is merged: always-unmerged, always-merged, cost (when it pays), thresholds (as in dLoRA). */
    Optional<PolicySettings.MergeRule> merge();

    /** Whether others may take part in a merged step by taking the merged adapter off; otherwise they wait. */
    @WithConverter(FlagText.class)
    Optional<Boolean> mergeMixture();

    /** How long merged steps may hold others back. */
    Optional<Duration> mergePatience();

    /** Pages that merged weights take from the pool; 0 where they have memory of their own. */
    OptionalInt shadowPages();

    /** What a merged step takes of an unmerged one: where dLoRA's thresholds begin. */
    OptionalDouble mergeSpeedRatio();

    /** Who gives pages back when none are left: latest (arrival), cheapest (to compute again). */
    Optional<PolicySettings.Preemption> preemption();

    /** Which idle adapter leaves for room: score (how often, how lately, how large), lru, fewest-waiting, at-once. */
    Optional<PolicySettings.Eviction> eviction();

    /** Whether adapters of those next in line are uploaded ahead of need. */
    @WithConverter(FlagText.class)
    Optional<Boolean> prefetch();
}
