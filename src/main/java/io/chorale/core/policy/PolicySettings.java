package io.chorale.core.policy;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Which policy decides what, and its constants: the whole of scheduling as a value. Any combination is valid; the presets
 * are what papers and common servers do, so that comparisons run in the same binary.
 *
 * @param order who is next in line
 * @param within which of one tenant's requests is next in {@link Order#FAIR}
 * @param prices what counts as service in {@link Order#FAIR}
 * @param clustering whether requests whose adapter is in the batch already may pass others
 * @param patienceNanos how long the requests of one tenant with one adapter may be passed before one is taken out of turn
 * @param abort which waiting requests are given up
 * @param memory when a waiting request fits
 * @param batching when requests join the batch
 * @param merging whether one adapter is merged into (shadow) base weights
 * @param preemption who gives pages back when none are left
 * @param eviction which idle adapter leaves the device when room is needed
 * @param prefetch whether adapters of those next in line are uploaded ahead of need
 */
public record PolicySettings(
        Order order,
        Within within,
        Prices prices,
        Clustering clustering,
        long patienceNanos,
        Abort abort,
        MemoryRule memory,
        Batching batching,
        Merging merging,
        Preemption preemption,
        Eviction eviction,
        boolean prefetch) {

    /** Who is next in line. */
    public enum Order {
        /** First come, first served. */
        ARRIVAL,
        /** Last come, first served. */
        NEWEST,
        /** Newest first while more come than are admitted, else oldest first: S-LoRA's early-abort queue. */
        ADAPTIVE,
        /** Least served tenant first: a virtual token counter. */
        FAIR,
        /** Order of arrival, but adapters that were held back for too long come first: dLoRA's credits. */
        CREDITS
    }

    /** Which of one tenant's requests is next where tenants share fairly. */
    public enum Within {
        /** One with the adapter that was served least. */
        ADAPTERS,
        /** First come, first served. */
        ARRIVAL,
        /** Last come, first served. */
        NEWEST,
        /**
         * First come, first served, but newest first while more come than can be served within their objective and some are
         * given up.
         */
        ADAPTIVE
    }

    /**
     * Service is counted in these, as S-LoRA's successors and VTC do, and in what an adapter costs.
     *
     * @param input of a token of a prompt
     * @param output of a token of an answer
     * @param upload of a page of an adapter that is uploaded
     * @param merged of a step in which an adapter is merged
     */
    public record Prices(double input, double output, double upload, double merged) {
        public static final Prices VTC = new Prices(1, 2, 0, 0);
    }

    /** Whether requests whose adapter is in the batch already may pass others. */
    public enum Locality {
        NONE,
        /** When the batch holds {@code adapters} of them: S-LoRA's D. */
        SOFT_LIMIT,
        /** Nobody else until the batch has ended: what a server does that merges one adapter after the other. */
        ONE_AT_A_TIME,
        /** Always, but only flows that have had at most {@code quantum} more service than the least served (DLPM). */
        DEFICIT
    }

    /**
     * @param adapters from how many distinct adapters on {@link Locality#SOFT_LIMIT} prefers those in the batch
     * @param quantum service by which one may run ahead of the least served when it passes others
     */
    public record Clustering(Locality locality, int adapters, double quantum) {
        public static final Clustering NONE = new Clustering(Locality.NONE, 8, 4096);
    }

    /** How the time until a first token is estimated. */
    public enum Estimate {
        /** Nobody is given up. */
        NEVER,
        /** It takes {@code prefillNanos}, whatever is asked: S-LoRA's constant. */
        CONSTANT,
        /** What prefill and upload took lately. */
        MEASURED
    }

    /** @param prefillNanos of {@link Estimate#CONSTANT} */
    public record Abort(Estimate estimate, long prefillNanos) {
        public static final Abort NEVER = new Abort(Estimate.NEVER, 500_000_000);
    }

    /**
     * @param admitEverySteps from one step in which requests join the running batch to the next, at least
     * @param prefillAlone decode rows wait while prompts are computed
     */
    public record Batching(int admitEverySteps, boolean prefillAlone) {
        public static final Batching CONTINUOUS = new Batching(1, false);
    }

    /** When an adapter is merged. */
    public enum MergeRule {
        ALWAYS_UNMERGED,
        /** The adapter that most requests want, always. */
        ALWAYS_MERGED,
        /** When the cost model says that it pays. */
        COST,
        /** dLoRA's two thresholds on the share of one adapter, which adapt to what was gained. */
        THRESHOLDS
    }

    /**
     * @param mixture whether rows of others join a merged step by taking the merged adapter off; otherwise they wait
     * @param patienceNanos how long a request may be held back by merged steps before it must be served
     * @param shadowPages pages that merged weights take from the pool; 0 where they have memory of their own
     * @param speedRatio of {@link MergeRule#THRESHOLDS}: what a merged step takes of an unmerged one, as a first guess
     */
    public record Merging(MergeRule rule, boolean mixture, long patienceNanos, int shadowPages, double speedRatio) {
        public static final Merging NEVER = of(MergeRule.ALWAYS_UNMERGED, false);

        /** With a patience of a second, and shadow weights that have memory of their own. */
        public static Merging of(MergeRule rule, boolean mixture) {
            return new Merging(rule, mixture, 1_000_000_000, 0, 0.6);
        }
    }

    /** Who gives pages back. */
    public enum Preemption {
        /** The latest arrival, so that the oldest always gets on. */
        LATEST,
        /** The one that has the fewest tokens to compute again. */
        CHEAPEST
    }

    /** Which idle adapter leaves. */
    public enum Eviction {
        LRU,
        /** By how often, how lately and how large: Chameleon's score. */
        SCORE,
        /** The one that fewest requests want: dLoRA's rule. */
        FEWEST_WAITING,
        /** No cache: an adapter leaves as soon as no running sequence uses it, as in S-LoRA's code. */
        AT_ONCE
    }

    private static final long PATIENCE = 30_000_000_000L;
    /** So long that it is no part of what is compared. */
    private static final long LONG_PATIENCE = 600_000_000_000L;

    /** Ours: fair, with locality within a bound, everything measured. */
    public static final PolicySettings CHORALE = new PolicySettings(
            Order.FAIR,
            Within.ADAPTIVE,
            new Prices(1, 2, 16, 8),
            new Clustering(Locality.DEFICIT, 8, 4096),
            PATIENCE,
            new Abort(Estimate.MEASURED, 500_000_000),
            MemoryRule.OPTIMISTIC,
            Batching.CONTINUOUS,
            Merging.of(MergeRule.COST, true),
            Preemption.LATEST,
            Eviction.SCORE,
            true);

    /** S-LoRA's early-abort queue as its code has it: ten steps of decoding after each prefill, which is by itself; no cache. */
    public static final PolicySettings SLORA = new PolicySettings(
            Order.ADAPTIVE,
            Within.ARRIVAL,
            Prices.VTC,
            Clustering.NONE,
            LONG_PATIENCE,
            new Abort(Estimate.CONSTANT, 500_000_000),
            MemoryRule.PEAK_DEMAND,
            new Batching(11, true),
            Merging.NEVER,
            Preemption.LATEST,
            Eviction.AT_ONCE,
            false);

    /** dLoRA's replica: dynamic merging with credits, nobody given up. */
    public static final PolicySettings DLORA = new PolicySettings(
            Order.CREDITS,
            Within.ARRIVAL,
            Prices.VTC,
            Clustering.NONE,
            LONG_PATIENCE,
            Abort.NEVER,
            MemoryRule.OPTIMISTIC,
            Batching.CONTINUOUS,
            Merging.of(MergeRule.THRESHOLDS, false),
            Preemption.LATEST,
            Eviction.FEWEST_WAITING,
            false);

    /** First come, first served, nothing else: the baseline. */
    public static final PolicySettings FCFS = new PolicySettings(
            Order.ARRIVAL,
            Within.ARRIVAL,
            Prices.VTC,
            Clustering.NONE,
            LONG_PATIENCE,
            Abort.NEVER,
            MemoryRule.OPTIMISTIC,
            Batching.CONTINUOUS,
            Merging.NEVER,
            Preemption.LATEST,
            Eviction.LRU,
            true);

    /** The settings that have a name. */
    public enum Preset {
        CHORALE,
        SLORA,
        DLORA,
        FCFS;

        public PolicySettings settings() {
            return switch (this) {
                case CHORALE -> PolicySettings.CHORALE;
                case SLORA -> PolicySettings.SLORA;
                case DLORA -> PolicySettings.DLORA;
                case FCFS -> PolicySettings.FCFS;
            };
        }
    }

    // ---- one part exchanged ---------------------------------------------------------------------------------------

    public PolicySettings with(Order other) {
        Draft draft = new Draft(this);
        draft.order = other;
        return draft.settings();
    }

    public PolicySettings with(Within other) {
        Draft draft = new Draft(this);
        draft.within = other;
        return draft.settings();
    }

    public PolicySettings with(Prices other) {
        Draft draft = new Draft(this);
        draft.prices = other;
        return draft.settings();
    }

    public PolicySettings with(Clustering other) {
        Draft draft = new Draft(this);
        draft.clustering = other;
        return draft.settings();
    }

    public PolicySettings with(Abort other) {
        Draft draft = new Draft(this);
        draft.abort = other;
        return draft.settings();
    }

    public PolicySettings with(MemoryRule other) {
        Draft draft = new Draft(this);
        draft.memory = other;
        return draft.settings();
    }

    public PolicySettings with(Batching other) {
        Draft draft = new Draft(this);
        draft.batching = other;
        return draft.settings();
    }

    public PolicySettings with(Merging other) {
        Draft draft = new Draft(this);
        draft.merging = other;
        return draft.settings();
    }

    public PolicySettings with(Preemption other) {
        Draft draft = new Draft(this);
        draft.preemption = other;
        return draft.settings();
    }

    public PolicySettings with(Eviction other) {
        Draft draft = new Draft(this);
        draft.eviction = other;
        return draft.settings();
    }

    public PolicySettings withPatience(long otherNanos) {
        Draft draft = new Draft(this);
        draft.patienceNanos = otherNanos;
        return draft.settings();
    }

    public PolicySettings withPrefetch(boolean other) {
        Draft draft = new Draft(this);
        draft.prefetch = other;
        return draft.settings();
    }

    // ---- checks ---------------------------------------------------------------------------------------------------

    /**
     * A constant that cannot be.
     *
     * @param key in the words of the configuration, below {@code chorale.policy}
     */
    public record Problem(String key, String value, String allowed) {}

    public List<Problem> problems() {
        List<Problem> found = new ArrayList<>();
        notNegative("input-price", prices.input(), found);
        positive("output-price", prices.output(), found);
        notNegative("upload-price", prices.upload(), found);
        notNegative("merged-price", prices.merged(), found);
        range("cluster-adapters", clustering.adapters(), 1, 1 << 16, found);
        notNegative("quantum", clustering.quantum(), found);
        longer("prefill-estimate", abort.prefillNanos(), found);
        range("admit-every-steps", batching.admitEverySteps(), 1, 1_000, found);
        longer("merge-patience", merging.patienceNanos(), found);
        range("shadow-pages", merging.shadowPages(), 0, Integer.MAX_VALUE, found);
        positive("merge-speed-ratio", merging.speedRatio(), found);
        longer("patience", patienceNanos, found);
        return found;
    }

    private static void notNegative(String key, double value, List<Problem> found) {
        if (!(value >= 0 && value <= 1e9)) {
            found.add(new Problem(key, String.valueOf(value), "must be between 0 and 1000000000"));
        }
    }

    private static void positive(String key, double value, List<Problem> found) {
        if (!(value > 0 && value <= 1e9)) {
            found.add(new Problem(key, String.valueOf(value), "must be above 0 and at most 1000000000"));
        }
    }

    private static void longer(String key, long nanos, List<Problem> found) {
        if (nanos <= 0) {
            found.add(new Problem(key, nanos + " ns", "must be longer than nothing"));
        }
    }

    private static void range(String key, long value, long min, long max, List<Problem> found) {
        if (value < min || value > max) {
            String allowed =
                    max == Long.MAX_VALUE ? "must be at least " + min : "must be between " + min + " and " + max;
            found.add(new Problem(key, String.valueOf(value), allowed));
        }
    }

    /** The policy of this name as the configuration writes it: {@code always-unmerged}. */
    public static String nameOf(Enum<?> choice) {
        return choice.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /** The same while one part is exchanged. */
    private static final class Draft {
        Order order;
        Within within;
        Prices prices;
        Clustering clustering;
        long patienceNanos;
        Abort abort;
        MemoryRule memory;
        Batching batching;
        Merging merging;
        Preemption preemption;
        Eviction eviction;
        boolean prefetch;

        Draft(PolicySettings from) {
            order = from.order;
            within = from.within;
            prices = from.prices;
            clustering = from.clustering;
            patienceNanos = from.patienceNanos;
            abort = from.abort;
            memory = from.memory;
            batching = from.batching;
            merging = from.merging;
            preemption = from.preemption;
            eviction = from.eviction;
            prefetch = from.prefetch;
        }

        PolicySettings settings() {
            return new PolicySettings(
                    order,
                    within,
                    prices,
                    clustering,
                    patienceNanos,
                    abort,
                    memory,
                    batching,
                    merging,
                    preemption,
                    eviction,
                    prefetch);
        }
    }
}
