package io.chorale.boot;

import io.chorale.config.ObjectiveSettings;
import io.chorale.config.PolicyOverrides;
import io.chorale.config.TenantSettings;
import io.chorale.core.admission.Objective;
import io.chorale.core.admission.Quota;
import io.chorale.core.admission.TenantTerms;
import io.chorale.core.model.Priority;
import io.chorale.core.policy.PolicySettings;
import io.chorale.core.policy.PolicySettings.Abort;
import io.chorale.core.policy.PolicySettings.Batching;
import io.chorale.core.policy.PolicySettings.Clustering;
import io.chorale.core.policy.PolicySettings.Merging;
import io.chorale.core.policy.PolicySettings.Prices;
import io.chorale.serving.Tenants;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/** Turns the settings of policies, tenants and objectives into what the core and the door take. */
final class PolicyFactory {
    private static final Objective USUAL_OBJECTIVE = new Objective(
            0, Duration.ofMillis(50).toNanos(), Duration.ofHours(1).toNanos());

    private PolicyFactory() {}

    static PolicySettings policies(PolicyOverrides keys) {
        PolicySettings base = keys.preset().settings();
        Prices prices = new Prices(
                keys.inputPrice().orElse(base.prices().input()),
                keys.outputPrice().orElse(base.prices().output()),
                keys.uploadPrice().orElse(base.prices().upload()),
                keys.mergedPrice().orElse(base.prices().merged()));
        Clustering clustering = new Clustering(
                keys.clustering().orElse(base.clustering().locality()),
                keys.clusterAdapters().orElse(base.clustering().adapters()),
                keys.quantum().orElse(base.clustering().quantum()));
        Abort abort = new Abort(
                keys.abort().orElse(base.abort().estimate()),
                keys.prefillEstimate()
                        .map(Duration::toNanos)
                        .orElse(base.abort().prefillNanos()));
        Batching batching = new Batching(
                keys.admitEverySteps().orElse(base.batching().admitEverySteps()),
                keys.prefillAlone().orElse(base.batching().prefillAlone()));
        Merging merging = new Merging(
                keys.merge().orElse(base.merging().rule()),
                keys.mergeMixture().orElse(base.merging().mixture()),
                keys.mergePatience()
                        .map(Duration::toNanos)
                        .orElse(base.merging().patienceNanos()),
                keys.shadowPages().orElse(base.merging().shadowPages()),
                keys.mergeSpeedRatio().orElse(base.merging().speedRatio()));
        return new PolicySettings(
                keys.order().orElse(base.order()),
                keys.within().orElse(base.within()),
                prices,
                clustering,
                keys.patience().map(Duration::toNanos).orElse(base.patienceNanos()),
                abort,
                keys.memory().orElse(base.memory()),
                batching,
                merging,
                keys.preemption().orElse(base.preemption()),
                keys.eviction().orElse(base.eviction()),
                keys.prefetch().orElse(base.prefetch()));
    }

    static List<Tenants.Member> tenants(TenantSettings settings) {
        List<Tenants.Member> members = new ArrayList<>();
        settings.byName().forEach((name, tenant) -> {
            Quota quota = new Quota(
                    tenant.requestsPerSecond().orElse(0),
                    tenant.tokensPerSecond().orElse(0),
                    tenant.burstSeconds(),
                    tenant.concurrencyMax().orElse(0),
                    tenant.queueShare());
            TenantTerms terms = new TenantTerms(tenant.weight(), tenant.priority(), quota);
            members.add(new Tenants.Member(name, terms));
        });
        return members;
    }

    static Map<Priority, Objective> objectives(ObjectiveSettings settings) {
        Map<Priority, Objective> objectives = new EnumMap<>(Priority.class);
        for (Priority priority : Priority.values()) {
            ObjectiveSettings.Bounds bounds = settings.byClass().get(priority);
            objectives.put(
                    priority,
                    bounds == null
                            ? USUAL_OBJECTIVE
                            : new Objective(
                                    bounds.ttft().map(Duration::toNanos).orElse(0L),
                                    bounds.ttftMin().toNanos(),
                                    bounds.ttftMax().toNanos()));
        }
        return objectives;
    }
}
