package io.chorale.boot;

import io.chorale.adapter.BuiltInModel;
import io.chorale.config.AdapterSettings;
import io.chorale.config.AdmissionSettings;
import io.chorale.config.EngineSettings;
import io.chorale.config.LifecycleSettings;
import io.chorale.config.ModelSettings;
import io.chorale.config.ObjectiveSettings;
import io.chorale.config.PolicyOverrides;
import io.chorale.config.SchedulerSettings;
import io.chorale.config.SourceSettings;
import io.chorale.config.StreamSettings;
import io.chorale.config.TenantSettings;
import io.chorale.core.policy.PolicySettings;
import io.quarkus.runtime.configuration.ConfigurationException;
import jakarta.inject.Singleton;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Looks at all settings before anything is built, and says of each that is wrong its key, its value and why. */
@Singleton
public class SettingsCheck {
    private static final int BODY_BYTES_MAX = 1 << 30;

    private final List<String> problems = new ArrayList<>();

    SettingsCheck(
            ModelSettings model,
            AdapterSettings adapters,
            EngineSettings engine,
            SchedulerSettings scheduler,
            AdmissionSettings admission,
            StreamSettings streams,
            LifecycleSettings lifecycle,
            SourceSettings sources,
            PolicyOverrides policies,
            TenantSettings tenants,
            ObjectiveSettings objectives) {
        model(model);
        adapters.dir().ifPresent(dir -> directory("chorale.adapters.dir", dir));
        notNegative("chorale.adapters.watch", adapters.watch());
        check(
                adapters.adminKey().map(key -> !key.isBlank()).orElse(true),
                "chorale.adapters.admin-key",
                "",
                "must not be blank");
        adapters.roots().ifPresent(roots -> roots.forEach(root -> directory("chorale.adapters.roots", root)));
        range("chorale.adapters.upload-bytes-max", adapters.uploadBytesMax().asLongValue(), 1, Long.MAX_VALUE);
        range("chorale.adapters.host-bytes", adapters.hostBytes().asLongValue(), 1, Long.MAX_VALUE);
        range("chorale.adapters.resident-max", adapters.residentMax(), 1, 1 << 16);
        range("chorale.adapters.dummy.count", adapters.dummy().count(), 0, 1 << 20);
        sources.allowed()
                .ifPresent(prefixes -> prefixes.forEach(prefix -> check(
                        prefix.matches("hf://(.*/)?|(https?|s3)://.+/"),
                        "chorale.sources.allowed",
                        prefix,
                        "must begin with hf://, https://, http:// or s3:// and end with a slash")));
        positive("chorale.sources.connect-timeout", sources.connectTimeout());
        positive("chorale.sources.stall-timeout", sources.stallTimeout());
        positive("chorale.sources.try-timeout", sources.tryTimeout());
        positive("chorale.sources.retry-pause", sources.retryPause());
        positive("chorale.sources.breaker-pause", sources.breakerPause());
        range("chorale.sources.retries", sources.retries(), 0, 100);
        range("chorale.sources.fetches-max", sources.fetchesMax(), 1, 1_000);
        range("chorale.engine.threads", engine.threads(), 0, 4_096);
        engine.poolBytes()
                .ifPresent(bytes -> range("chorale.engine.pool-bytes", bytes.asLongValue(), 1, Long.MAX_VALUE));
        range("chorale.engine.shards", engine.shards(), 1, 16);
        range("chorale.engine.record-steps", engine.recordSteps(), 1, 1 << 20);
        notNegative("chorale.engine.simulated.step", engine.simulated().step());
        double stop = engine.simulated().stopProbability();
        check(stop >= 0 && stop <= 1, "chorale.engine.simulated.stop-probability", stop, "must be between 0 and 1");
        range("chorale.scheduler.sequences-max", scheduler.sequencesMax(), 1, 1 << 16);
        range("chorale.scheduler.step-tokens-max", scheduler.stepTokensMax(), scheduler.sequencesMax(), 1 << 20);
        range("chorale.scheduler.prefill-chunk-tokens", scheduler.prefillChunkTokens(), 1, 1 << 20);
        range("chorale.scheduler.adapters-per-step-max", scheduler.adaptersPerStepMax(), 1, 1 << 16);
        range("chorale.scheduler.bypass-max", scheduler.bypassMax(), 0, 1 << 20);
        range("chorale.scheduler.prefetch-adapters-max", scheduler.prefetchAdaptersMax(), 0, 1 << 16);
        range("chorale.admission.requests-max", admission.requestsMax(), 1, 1 << 24);
        range("chorale.admission.queue-requests-max", admission.queueRequestsMax(), 1, 1 << 24);
        range("chorale.admission.queue-tokens-max", admission.queueTokensMax(), 1, Long.MAX_VALUE);
        range("chorale.stream.body-bytes-max", streams.bodyBytesMax().asLongValue(), 1, BODY_BYTES_MAX);
        range("chorale.stream.choices-max", streams.choicesMax(), 1, 1 << 16);
        range("chorale.stream.buffer-events-max", streams.bufferEventsMax(), 1, 1 << 20);
        range("chorale.stream.resumable-max", streams.resumableMax(), 0, 1 << 20);
        range("chorale.stream.replay-events-max", streams.replayEventsMax(), 1, 1 << 24);
        positive("chorale.stream.keep-alive", streams.keepAlive());
        positive("chorale.stream.resume-grace", streams.resumeGrace());
        notNegative("chorale.lifecycle.drain-grace", lifecycle.drainGrace());
        lifecycle.endWithin().ifPresent(within -> positive("chorale.lifecycle.end-within", within));
        positive("chorale.lifecycle.stuck-after", lifecycle.stuckAfter());
        for (PolicySettings.Problem problem : PolicyFactory.policies(policies).problems()) {
            check(false, "chorale.policy." + problem.key(), problem.value(), problem.allowed());
        }
        tenants.byName().forEach(this::checkTenant);
        checkKeys(tenants);
        objectives.byClass().forEach((priority, bounds) -> {
            String key = "chorale.objectives." + PolicySettings.nameOf(priority);
            bounds.ttft().ifPresent(ttft -> positive(key + ".ttft", ttft));
            positive(key + ".ttft-min", bounds.ttftMin());
            check(
                    bounds.ttftMax().compareTo(bounds.ttftMin()) >= 0,
                    key + ".ttft-max",
                    bounds.ttftMax(),
                    "must not be less than ttft-min = " + bounds.ttftMin());
        });
    }

    private void checkTenant(String name, TenantSettings.Tenant tenant) {
        String key = "chorale.tenants." + name;
        above0(key + ".weight", tenant.weight());
        tenant.requestsPerSecond().ifPresent(rate -> above0(key + ".requests-per-second", rate));
        tenant.tokensPerSecond().ifPresent(rate -> above0(key + ".tokens-per-second", rate));
        above0(key + ".burst-seconds", tenant.burstSeconds());
        tenant.concurrencyMax().ifPresent(most -> range(key + ".concurrency-max", most, 1, 1 << 24));
        double share = tenant.queueShare();
        check(share > 0 && share <= 1, key + ".queue-share", share, "must be above 0 and at most 1");
    }

    /** A key says who asks, so it is one tenant's. The message does not repeat it. */
    private void checkKeys(TenantSettings tenants) {
        Map<String, String> owners = new LinkedHashMap<>();
        tenants.byName().forEach((name, tenant) -> {
            for (String key : tenant.keys().orElse(List.of())) {
                String before = owners.putIfAbsent(key, name);
                check(!key.isBlank(), "chorale.tenants." + name + ".keys", "", "a key must not be empty");
                check(
                        before == null,
                        "chorale.tenants." + name + ".keys",
                        "...",
                        "one of the keys is also a key of tenant " + before);
            }
        });
    }

    private void above0(String key, double value) {
        check(value > 0 && value <= 1e9, key, value, "must be above 0 and at most 1000000000");
    }

    private void model(ModelSettings model) {
        boolean dummy = model.loadFormat() == ModelSettings.LoadFormat.DUMMY;
        Optional<String> shape = model.dummy().shape();
        String shapeKey = "chorale.model.dummy.shape";
        shape.ifPresent(name -> {
            check(dummy, shapeKey, name, "is for chorale.model.load-format = dummy only");
            check(BuiltInModel.of(name).isPresent(), shapeKey, name, "must be one of " + BuiltInModel.labels());
        });
        if (shape.isEmpty()) {
            directory("chorale.model.dir", model.dir());
        }
    }

    /** @throws ConfigurationException with a line a problem */
    void pass() {
        if (!problems.isEmpty()) {
            throw new ConfigurationException(String.join("\n", problems));
        }
    }

    private void directory(String key, Path path) {
        check(Files.isDirectory(path), key, path, "is not a folder (looked at " + path.toAbsolutePath() + ")");
    }

    private void range(String key, long value, long min, long max) {
        check(
                value >= min && value <= max,
                key,
                value,
                max == Long.MAX_VALUE ? "must be at least " + min : "must be between " + min + " and " + max);
    }

    private void positive(String key, Duration value) {
        check(value.compareTo(Duration.ZERO) > 0, key, value, "must be longer than nothing");
    }

    private void notNegative(String key, Duration value) {
        check(!value.isNegative(), key, value, "must not be negative");
    }

    private void check(boolean holds, String key, Object value, String rule) {
        if (!holds) {
            problems.add("chorale: cannot start: " + key + " = " + value + ": " + rule);
        }
    }
}
