package io.chorale.boot;

import io.chorale.adapter.BuiltInModel;
import io.chorale.config.AccessSettings;
import io.chorale.config.AdapterSettings;
import io.chorale.config.EngineSettings;
import io.chorale.config.LifecycleSettings;
import io.chorale.config.ModelSettings;
import io.chorale.config.PolicyOverrides;
import io.chorale.config.SchedulerSettings;
import io.chorale.config.SourceSettings;
import io.chorale.config.StreamSettings;
import io.chorale.core.policy.PolicySettings;
import io.quarkus.runtime.configuration.ConfigurationException;
import jakarta.inject.Singleton;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Looks at all settings before anything is built, and says of each that is wrong its key, its value and why. */
@Singleton
public class SettingsCheck {
    private static final int BODY_BYTES_MAX = 1 << 30;

    private final SettingProblems problems = new SettingProblems();
    private final Limits limits;

    SettingsCheck(
            ModelSettings model,
            AdapterSettings adapters,
            EngineSettings engine,
            SchedulerSettings scheduler,
            StreamSettings streams,
            LifecycleSettings lifecycle,
            SourceSettings sources,
            PolicyOverrides policies,
            AccessSettings access,
            Limits limits) {
        this.limits = limits;
        model(model);
        adapters.dir().ifPresent(dir -> directory("chorale.adapters.dir", dir));
        problems.notNegative("chorale.adapters.watch", adapters.watch());
        adapters.roots().ifPresent(roots -> roots.forEach(root -> directory("chorale.adapters.roots", root)));
        problems.range(
                "chorale.adapters.upload-bytes-max", adapters.uploadBytesMax().asLongValue(), 1, Long.MAX_VALUE);
        problems.range("chorale.adapters.host-bytes", adapters.hostBytes().asLongValue(), 1, Long.MAX_VALUE);
        problems.range("chorale.adapters.resident-max", adapters.residentMax(), 1, 1 << 16);
        problems.range("chorale.adapters.dummy.count", adapters.dummy().count(), 0, 1 << 20);
        sources.allowed()
                .ifPresent(prefixes -> prefixes.forEach(prefix -> problems.check(
                        prefix.matches("hf://(.*/)?|(https?|s3)://.+/"),
                        "chorale.sources.allowed",
                        prefix,
                        "must begin with hf://, https://, http:// or s3:// and end with a slash")));
        problems.positive("chorale.sources.connect-timeout", sources.connectTimeout());
        problems.positive("chorale.sources.stall-timeout", sources.stallTimeout());
        problems.positive("chorale.sources.try-timeout", sources.tryTimeout());
        problems.positive("chorale.sources.retry-pause", sources.retryPause());
        problems.positive("chorale.sources.breaker-pause", sources.breakerPause());
        problems.range("chorale.sources.retries", sources.retries(), 0, 100);
        problems.range("chorale.sources.fetches-max", sources.fetchesMax(), 1, 1_000);
        problems.range("chorale.engine.threads", engine.threads(), 0, 4_096);
        engine.poolBytes()
                .ifPresent(
                        bytes -> problems.range("chorale.engine.pool-bytes", bytes.asLongValue(), 1, Long.MAX_VALUE));
        problems.range("chorale.engine.shards", engine.shards(), 1, 16);
        problems.range("chorale.engine.record-steps", engine.recordSteps(), 1, 1 << 20);
        problems.notNegative("chorale.engine.simulated.step", engine.simulated().step());
        double stop = engine.simulated().stopProbability();
        problems.check(
                stop >= 0 && stop <= 1, "chorale.engine.simulated.stop-probability", stop, "must be between 0 and 1");
        problems.range("chorale.scheduler.sequences-max", scheduler.sequencesMax(), 1, 1 << 16);
        problems.range(
                "chorale.scheduler.step-tokens-max", scheduler.stepTokensMax(), scheduler.sequencesMax(), 1 << 20);
        problems.range("chorale.scheduler.prefill-chunk-tokens", scheduler.prefillChunkTokens(), 1, 1 << 20);
        problems.range("chorale.scheduler.adapters-per-step-max", scheduler.adaptersPerStepMax(), 1, 1 << 16);
        problems.range("chorale.scheduler.bypass-max", scheduler.bypassMax(), 0, 1 << 20);
        problems.range("chorale.scheduler.prefetch-adapters-max", scheduler.prefetchAdaptersMax(), 0, 1 << 16);
        problems.range("chorale.stream.body-bytes-max", streams.bodyBytesMax().asLongValue(), 1, BODY_BYTES_MAX);
        problems.range("chorale.stream.choices-max", streams.choicesMax(), 1, 1 << 16);
        problems.range("chorale.stream.buffer-events-max", streams.bufferEventsMax(), 1, 1 << 20);
        problems.range("chorale.stream.resumable-max", streams.resumableMax(), 0, 1 << 20);
        problems.range("chorale.stream.replay-events-max", streams.replayEventsMax(), 1, 1 << 24);
        problems.positive("chorale.stream.keep-alive", streams.keepAlive());
        problems.positive("chorale.stream.resume-grace", streams.resumeGrace());
        problems.notNegative("chorale.lifecycle.drain-grace", lifecycle.drainGrace());
        lifecycle.endWithin().ifPresent(within -> problems.positive("chorale.lifecycle.end-within", within));
        problems.positive("chorale.lifecycle.stuck-after", lifecycle.stuckAfter());
        problems.notNegative("chorale.lifecycle.reload-every", lifecycle.reloadEvery());
        problems.range("chorale.access.audit-bytes-max", access.auditBytesMax().asLongValue(), 1 << 10, Long.MAX_VALUE);
        for (PolicySettings.Problem problem : PolicyFactory.policies(policies).problems()) {
            problems.check(false, "chorale.policy." + problem.key(), problem.value(), problem.allowed());
        }
    }

    private void model(ModelSettings model) {
        boolean dummy = model.loadFormat() == ModelSettings.LoadFormat.DUMMY;
        Optional<String> shape = model.dummy().shape();
        String shapeKey = "chorale.model.dummy.shape";
        shape.ifPresent(name -> {
            problems.check(dummy, shapeKey, name, "is for chorale.model.load-format = dummy only");
            problems.check(
                    BuiltInModel.of(name).isPresent(), shapeKey, name, "must be one of " + BuiltInModel.labels());
        });
        if (shape.isEmpty()) {
            directory("chorale.model.dir", model.dir());
        }
    }

    /** @throws ConfigurationException with a line a problem */
    void pass() {
        List<String> all = Stream.concat(problems.sentences().stream(), limits.problems().stream())
                .toList();
        if (!all.isEmpty()) {
            throw new ConfigurationException(
                    all.stream().map("chorale: cannot start: "::concat).collect(Collectors.joining("\n")));
        }
    }

    private void directory(String key, Path path) {
        problems.check(Files.isDirectory(path), key, path, "is not a folder (looked at " + path.toAbsolutePath() + ")");
    }
}
