package io.chorale.k8s;

import com.fasterxml.jackson.databind.JsonNode;
import java.math.BigDecimal;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.stream.StreamSupport;

/**
 * The HorizontalPodAutoscaler (autoscaling/v2) as its documentation describes it, for metrics with an average as their
 * target: {@code desired = ceil(total / target)} unless that is within the tolerance of what is there, the most of all
 * metrics; then the stabilisation windows; then the policies of pace; then the bounds. KEDA makes such an autoscaler from
 * a ScaledObject.
 */
final class Autoscaler {
    /** How often the controller looks. */
    static final int SYNC_SECONDS = 15;

    private static final double TOLERANCE = 0.1;

    /** @param query what it asks of Prometheus: a total over the pods */
    record Signal(String query, double target) {}

    private record Policy(boolean percent, int value, int periodSeconds) {}

    private record Pace(int stabilizationSeconds, boolean most, List<Policy> policies) {
        static Pace of(JsonNode rules) {
            List<Policy> policies = StreamSupport.stream(rules.path("policies").spliterator(), false)
                    .map(policy -> new Policy(
                            policy.path("type").asText().equals("Percent"),
                            policy.path("value").asInt(),
                            policy.path("periodSeconds").asInt()))
                    .toList();
            return new Pace(
                    rules.path("stabilizationWindowSeconds").asInt(),
                    rules.path("selectPolicy").asText().equals("Max"),
                    policies);
        }
    }

    private record At(int seconds, int replicas) {}

    final List<Signal> signals;
    private final int min;
    private final int max;
    private final Pace up;
    private final Pace down;
    private final List<At> recommended = new ArrayList<>();
    private final Deque<At> changes = new ArrayDeque<>();
    private int replicas;

    private Autoscaler(List<Signal> signals, int min, int max, JsonNode behavior) {
        this.signals = signals;
        this.min = min;
        this.max = max;
        this.up = Pace.of(behavior.path("scaleUp"));
        this.down = Pace.of(behavior.path("scaleDown"));
        this.replicas = min;
    }

    /** As a HorizontalPodAutoscaler says, whose metrics prometheus-adapter serves. */
    static Autoscaler ofHorizontalPodAutoscaler(JsonNode object) {
        JsonNode spec = object.path("spec");
        List<Signal> signals = StreamSupport.stream(spec.path("metrics").spliterator(), false)
                .map(metric -> new Signal(
                        "sum(pod:" + metric.at("/pods/metric/name").asText().replaceFirst("_ratio$", ":ratio") + ")",
                        quantity(metric.at("/pods/target/averageValue").asText())))
                .toList();
        return new Autoscaler(
                signals,
                spec.path("minReplicas").asInt(),
                spec.path("maxReplicas").asInt(),
                spec.path("behavior"));
    }

    static Autoscaler ofScaledObject(JsonNode object) {
        JsonNode spec = object.path("spec");
        List<Signal> signals = StreamSupport.stream(spec.path("triggers").spliterator(), false)
                .map(trigger -> new Signal(
                        trigger.at("/metadata/query").asText(),
                        Double.parseDouble(trigger.at("/metadata/threshold").asText())))
                .toList();
        return new Autoscaler(
                signals,
                spec.path("minReplicaCount").asInt(),
                spec.path("maxReplicaCount").asInt(),
                spec.at("/advanced/horizontalPodAutoscalerConfig/behavior"));
    }

    private static double quantity(String text) {
        return text.endsWith("m")
                ? new BigDecimal(text.substring(0, text.length() - 1))
                        .movePointLeft(3)
                        .doubleValue()
                : Double.parseDouble(text);
    }

    /** @param totals of the signals, in their order */
    int sync(int nowSeconds, double[] totals) {
        int desired = 0;
        for (int i = 0; i < totals.length; i++) {
            double ratio = totals[i] / (replicas * signals.get(i).target());
            boolean near = Math.abs(ratio - 1) <= TOLERANCE;
            desired = Math.max(desired, near ? replicas : (int) Math.ceil(ratio * replicas));
        }
        desired = Math.clamp(desired, min, max);
        recommended.add(new At(nowSeconds, desired));
        int next = paced(nowSeconds, stabilized(nowSeconds));
        next = Math.clamp(next, min, max);
        if (next != replicas) {
            changes.addLast(new At(nowSeconds, next - replicas));
            replicas = next;
        }
        return replicas;
    }

    /** Rises to the least that was wanted all through its window, falls to the most. */
    private int stabilized(int nowSeconds) {
        int least = Integer.MAX_VALUE;
        int most = 0;
        for (At at : recommended) {
            if (at.seconds() >= nowSeconds - up.stabilizationSeconds()) {
                least = Math.min(least, at.replicas());
            }
            if (at.seconds() >= nowSeconds - down.stabilizationSeconds()) {
                most = Math.max(most, at.replicas());
            }
        }
        return Math.min(Math.max(replicas, least), most);
    }

    private int paced(int nowSeconds, int wanted) {
        if (wanted > replicas) {
            int limit = up.policies().stream()
                    .mapToInt(policy -> {
                        int before = replicas - changed(nowSeconds, policy, 1);
                        return policy.percent()
                                ? (int) Math.ceil(before * (1 + policy.value() / 100.0))
                                : before + policy.value();
                    })
                    .reduce(up.most() ? Math::max : Math::min)
                    .orElse(wanted);
            return Math.min(wanted, Math.max(limit, replicas));
        }
        if (wanted < replicas) {
            int limit = down.policies().stream()
                    .mapToInt(policy -> {
                        int before = replicas - changed(nowSeconds, policy, -1);
                        return policy.percent()
                                ? (int) Math.floor(before * (1 - policy.value() / 100.0))
                                : before - policy.value();
                    })
                    // The policy that lets most go is the one that leaves least.
                    .reduce(down.most() ? Math::min : Math::max)
                    .orElse(wanted);
            return Math.max(wanted, Math.min(limit, replicas));
        }
        return replicas;
    }

    /** By how much it has changed one way within a policy's period. */
    private int changed(int nowSeconds, Policy policy, int sign) {
        return changes.stream()
                .filter(change -> change.seconds() > nowSeconds - policy.periodSeconds()
                        && Integer.signum(change.replicas()) == sign)
                .mapToInt(At::replicas)
                .sum();
    }
}
