package io.chorale.simulate;

import io.chorale.core.policy.MemoryRule;
import io.chorale.core.policy.PolicySettings;
import io.chorale.core.policy.PolicySettings.Abort;
import io.chorale.core.policy.PolicySettings.Batching;
import io.chorale.core.policy.PolicySettings.Clustering;
import io.chorale.core.policy.PolicySettings.Merging;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/**
 * Policies as a line of text: a preset, and parts of it that are to be different, as in {@code
 * slora,order=newest,eviction=lru}.
 */
public final class PolicyText {
    static final String KEYS = "order, within, clustering, cluster-adapters, quantum, abort, memory, admit-every-steps,"
            + " prefill-alone, merging, mixture, preemption, eviction, prefetch";

    private PolicyText() {}

    /** Throws {@link IllegalArgumentException} naming what is not known. */
    public static PolicySettings parse(String text) {
        String[] parts = text.split(",", -1);
        PolicySettings settings =
                choice("policy", PolicySettings.Preset.class, parts[0].strip()).settings();
        for (int i = 1; i < parts.length; i++) {
            String[] pair = parts[i].split("=", -1);
            if (pair.length != 2) {
                throw new IllegalArgumentException(
                        "'" + parts[i] + "' in policy '" + text + "' is not part=choice; parts are " + KEYS);
            }
            settings = with(settings, pair[0].strip(), pair[1].strip());
        }
        for (PolicySettings.Problem problem : settings.problems()) {
            throw new IllegalArgumentException(
                    "policy '" + text + "': " + problem.key() + " = " + problem.value() + " " + problem.allowed());
        }
        return settings;
    }

    private static PolicySettings with(PolicySettings s, String key, String value) {
        Clustering clustering = s.clustering();
        Merging merging = s.merging();
        Batching batching = s.batching();
        return switch (key) {
            case "order" -> s.with(choice(key, PolicySettings.Order.class, value));
            case "within" -> s.with(choice(key, PolicySettings.Within.class, value));
            case "clustering" ->
                s.with(new Clustering(
                        choice(key, PolicySettings.Locality.class, value),
                        clustering.adapters(),
                        clustering.quantum()));
            case "cluster-adapters" ->
                s.with(new Clustering(clustering.locality(), whole(key, value), clustering.quantum()));
            case "quantum" -> s.with(new Clustering(clustering.locality(), clustering.adapters(), whole(key, value)));
            case "abort" ->
                s.with(new Abort(
                        choice(key, PolicySettings.Estimate.class, value),
                        s.abort().prefillNanos()));
            case "memory" -> s.with(choice(key, MemoryRule.class, value));
            case "admit-every-steps" -> s.with(new Batching(whole(key, value), batching.prefillAlone()));
            case "prefill-alone" -> s.with(new Batching(batching.admitEverySteps(), onOrOff(key, value)));
            case "merging" ->
                s.with(with(merging, choice(key, PolicySettings.MergeRule.class, value), merging.mixture()));
            case "mixture" -> s.with(with(merging, merging.rule(), onOrOff(key, value)));
            case "preemption" -> s.with(choice(key, PolicySettings.Preemption.class, value));
            case "eviction" -> s.with(choice(key, PolicySettings.Eviction.class, value));
            case "prefetch" -> s.withPrefetch(onOrOff(key, value));
            default -> throw new IllegalArgumentException("a policy has no part '" + key + "'; parts are " + KEYS);
        };
    }

    private static Merging with(Merging merging, PolicySettings.MergeRule rule, boolean mixture) {
        return new Merging(rule, mixture, merging.patienceNanos(), merging.shadowPages(), merging.speedRatio());
    }

    /** A choice as configuration and flags write it: {@code least-load}. */
    static <E extends Enum<E>> E choice(String key, Class<E> type, String value) {
        List<E> choices = Arrays.asList(type.getEnumConstants());
        return choices.stream()
                .filter(choice -> PolicySettings.nameOf(choice).equals(value))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException(key + " '" + value + "' is not known; it can be "
                        + choices.stream().map(PolicySettings::nameOf).collect(Collectors.joining(", "))));
    }

    private static boolean onOrOff(String key, String value) {
        return switch (value) {
            case "on" -> true;
            case "off" -> false;
            default -> throw new IllegalArgumentException(key + " is on or off, not '" + value + "'");
        };
    }

    private static int whole(String key, String value) {
        try {
            return Integer.parseInt(value);
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException(key + " is a whole number, not '" + value + "'", e);
        }
    }
}
