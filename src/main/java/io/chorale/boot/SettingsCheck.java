package io.chorale.boot;

import io.chorale.adapter.BuiltInModel;
import io.chorale.adapter.DummyAdapters;
import io.chorale.adapter.source.ModelWish;
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
import io.smallrye.config.SmallRyeConfig;
import jakarta.inject.Singleton;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** Looks at all settings before anything is built, and says of each that is wrong its key, its value and why. */
@Singleton
public class SettingsCheck {
    private static final int BODY_BYTES_MAX = 1 << 30;

    private static final Pattern KEY = Pattern.compile("chorale\\.([^.]+).*");
    /** Of io.chorale.config, and {@code native}, where the libraries are. */
    private static final List<String> GROUPS = List.of(
            "access",
            "adapters",
            "admission",
            "engine",
            "keys",
            "lifecycle",
            "model",
            "native",
            "objectives",
            "policy",
            "scheduler",
            "sources",
            "stream",
            "tenants");

    private final SettingProblems problems = new SettingProblems();
    private final ReloadableSettings reloadable;

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
            ReloadableSettings reloadable,
            SmallRyeConfig config) {
        this.reloadable = reloadable;
        groups(config);
        model(model, adapters);
        adapters(adapters);
        sources(sources);
        engine(engine);
        scheduler(scheduler);
        streams(streams);
        lifecycle(lifecycle);
        problems.bytes("chorale.access.audit-bytes-max", access.auditBytesMax(), 1 << 10, Long.MAX_VALUE);
        for (PolicySettings.Problem problem : PolicyFactory.policies(policies).problems()) {
            problems.check(false, "chorale.policy." + problem.key(), problem.value(), problem.allowed());
        }
    }

    /**
     * A key of no group would be read by nobody, and what it was to say would not hold; of keys within a group the mapping says
     * so itself. Variables of the environment are left alone: Kubernetes makes some that begin with a service's name.
     */
    private void groups(SmallRyeConfig config) {
        for (String name : config.getPropertyNames()) {
            Matcher key = KEY.matcher(name);
            if (key.matches() && !GROUPS.contains(key.group(1))) {
                String source = String.valueOf(config.getConfigValue(name).getSourceName());
                problems.check(
                        source.startsWith("EnvConfigSource"),
                        name,
                        "...",
                        "there is no such setting; after chorale. must come one of " + String.join(", ", GROUPS));
            }
        }
    }

    private void model(ModelSettings model, AdapterSettings adapters) {
        boolean dummy = model.loadFormat() == ModelSettings.LoadFormat.DUMMY;
        Optional<String> shape = model.dummy().shape();
        String shapeKey = "chorale.model.dummy.shape";
        shape.ifPresent(name -> {
            problems.check(dummy, shapeKey, name, "is for chorale.model.load-format = dummy only");
            problems.check(
                    BuiltInModel.of(name).isPresent(), shapeKey, name, "must be one of " + BuiltInModel.labels());
        });
        problems.bytes("chorale.model.fetch-bytes-max", model.fetchBytesMax(), 1, Long.MAX_VALUE);
        if (model.source().isPresent()) {
            source(new ModelWish(model.source().get(), model.sha256()), dummy, adapters);
        } else if (shape.isEmpty()) {
            directory("chorale.model.dir", model.dir());
        }
    }

    private void source(ModelWish wish, boolean dummy, AdapterSettings adapters) {
        String key = "chorale.model.source";
        problems.check(!dummy, key, wish.source(), "is for chorale.model.load-format = files only");
        wish.problem().ifPresent(rule -> problems.check(false, key, wish.source(), rule));
        if (wish.problem().isEmpty()) {
            wish.digestProblem()
                    .ifPresent(rule -> problems.check(
                            false, "chorale.model.sha256", wish.sha256().orElse(""), rule));
        }
        problems.check(
                adapters.stateDir().isPresent(),
                key,
                wish.source(),
                "needs chorale.adapters.state-dir, a folder to keep the model in");
    }

    private void adapters(AdapterSettings adapters) {
        adapters.dir().ifPresent(dir -> directory("chorale.adapters.dir", dir));
        problems.notNegative("chorale.adapters.watch", adapters.watch());
        adapters.roots().ifPresent(roots -> roots.forEach(root -> directory("chorale.adapters.roots", root)));
        problems.bytes("chorale.adapters.upload-bytes-max", adapters.uploadBytesMax(), 1, Long.MAX_VALUE);
        problems.bytes("chorale.adapters.host-bytes", adapters.hostBytes(), 1, Long.MAX_VALUE);
        problems.bytes("chorale.adapters.head-bytes-max", adapters.headBytesMax(), 0, Long.MAX_VALUE);
        problems.range("chorale.adapters.resident-max", adapters.residentMax(), 1, 1 << 16);
        problems.range("chorale.adapters.dummy.count", adapters.dummy().count(), 0, 1 << 20);
        adapters.dummy().ranks().forEach(rank -> problems.range("chorale.adapters.dummy.ranks", rank, 1, 1 << 16));
        adapters.dummy()
                .targets()
                .forEach(target -> problems.check(
                        DummyAdapters.LINEARS.contains(target),
                        "chorale.adapters.dummy.targets",
                        target,
                        "must be one of " + String.join(", ", DummyAdapters.LINEARS)));
    }

    private void sources(SourceSettings sources) {
        sources.allowed()
                .ifPresent(prefixes -> prefixes.forEach(prefix -> problems.check(
                        prefix.matches("hf://(.*/)?|(https?|s3)://.+/"),
                        "chorale.sources.allowed",
                        prefix,
                        "must begin with hf://, https://, http:// or s3:// and end with a slash")));
        problems.webAddress("chorale.sources.hub", sources.hub());
        sources.s3Endpoint().ifPresent(address -> problems.webAddress("chorale.sources.s3-endpoint", address));
        problems.positive("chorale.sources.connect-timeout", sources.connectTimeout());
        problems.positive("chorale.sources.stall-timeout", sources.stallTimeout());
        problems.positive("chorale.sources.try-timeout", sources.tryTimeout());
        problems.positive("chorale.sources.retry-pause", sources.retryPause());
        problems.positive("chorale.sources.breaker-pause", sources.breakerPause());
        problems.range("chorale.sources.retries", sources.retries(), 0, 100);
        problems.range("chorale.sources.fetches-max", sources.fetchesMax(), 1, 1_000);
    }

    private void engine(EngineSettings engine) {
        problems.range("chorale.engine.threads", engine.threads(), 0, 4_096);
        engine.poolBytes().ifPresent(bytes -> problems.bytes("chorale.engine.pool-bytes", bytes, 1, Long.MAX_VALUE));
        problems.range("chorale.engine.shards", engine.shards(), 1, 16);
        problems.range("chorale.engine.record-steps", engine.recordSteps(), 1, 1 << 20);
        problems.notNegative("chorale.engine.simulated.step", engine.simulated().step());
        double stop = engine.simulated().stopProbability();
        problems.check(
                stop >= 0 && stop <= 1, "chorale.engine.simulated.stop-probability", stop, "must be between 0 and 1");
        engine.simulated()
                .diesAtStep()
                .ifPresent(step -> problems.range("chorale.engine.simulated.dies-at-step", step, 0, Long.MAX_VALUE));
    }

    private void scheduler(SchedulerSettings scheduler) {
        problems.range("chorale.scheduler.sequences-max", scheduler.sequencesMax(), 1, 1 << 16);
        problems.range(
                "chorale.scheduler.step-tokens-max", scheduler.stepTokensMax(), scheduler.sequencesMax(), 1 << 20);
        problems.range("chorale.scheduler.prefill-chunk-tokens", scheduler.prefillChunkTokens(), 1, 1 << 20);
        problems.range("chorale.scheduler.adapters-per-step-max", scheduler.adaptersPerStepMax(), 1, 1 << 16);
        problems.range("chorale.scheduler.bypass-max", scheduler.bypassMax(), 0, 1 << 20);
        problems.range("chorale.scheduler.prefetch-adapters-max", scheduler.prefetchAdaptersMax(), 0, 1 << 16);
    }

    private void streams(StreamSettings streams) {
        problems.bytes("chorale.stream.body-bytes-max", streams.bodyBytesMax(), 1, BODY_BYTES_MAX);
        problems.bytes("chorale.stream.bodies-bytes-max", streams.bodiesBytesMax(), 1, Long.MAX_VALUE);
        problems.positive("chorale.stream.body-within", streams.bodyWithin());
        problems.range("chorale.stream.choices-max", streams.choicesMax(), 1, 1 << 16);
        problems.range("chorale.stream.buffer-events-max", streams.bufferEventsMax(), 1, 1 << 20);
        problems.range("chorale.stream.resumable-max", streams.resumableMax(), 0, 1 << 20);
        problems.range("chorale.stream.replay-events-max", streams.replayEventsMax(), 1, 1 << 24);
        problems.positive("chorale.stream.stall-max", streams.stallMax());
        problems.positive("chorale.stream.keep-alive", streams.keepAlive());
        problems.positive("chorale.stream.resume-grace", streams.resumeGrace());
    }

    private void lifecycle(LifecycleSettings lifecycle) {
        problems.notNegative("chorale.lifecycle.drain-grace", lifecycle.drainGrace());
        lifecycle.endWithin().ifPresent(within -> problems.positive("chorale.lifecycle.end-within", within));
        problems.positive("chorale.lifecycle.stuck-after", lifecycle.stuckAfter());
        problems.notNegative("chorale.lifecycle.reload-every", lifecycle.reloadEvery());
        problems.bytes("chorale.lifecycle.quiet-collection", lifecycle.quietCollection(), 0, Long.MAX_VALUE);
    }

    /** @throws io.quarkus.runtime.configuration.ConfigurationException with a line a problem */
    void pass() {
        List<String> all = Stream.concat(problems.sentences().stream(), reloadable.problems().stream())
                .toList();
        if (!all.isEmpty()) {
            throw StartRefusal.because(all.toArray(String[]::new));
        }
    }

    private void directory(String key, Path path) {
        problems.check(Files.isDirectory(path), key, path, "is not a folder (looked at " + path.toAbsolutePath() + ")");
    }
}
