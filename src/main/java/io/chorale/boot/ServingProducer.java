package io.chorale.boot;

import io.chorale.access.AuditFile;
import io.chorale.access.AuditLog;
import io.chorale.access.Keyring;
import io.chorale.adapter.AdapterAdministration;
import io.chorale.adapter.AdapterAliases;
import io.chorale.adapter.NamedAdapter;
import io.chorale.api.AdapterJson;
import io.chorale.api.Answers;
import io.chorale.api.BodyGuard;
import io.chorale.api.Callers;
import io.chorale.api.CompletionReader;
import io.chorale.api.JsonBody;
import io.chorale.api.ModelCatalog;
import io.chorale.api.OpenExchanges;
import io.chorale.api.SamplingDefaults;
import io.chorale.api.ServerResource;
import io.chorale.api.StreamSessions;
import io.chorale.config.AccessSettings;
import io.chorale.config.AdapterSettings;
import io.chorale.config.AdmissionSettings;
import io.chorale.config.EngineSettings;
import io.chorale.config.LifecycleSettings;
import io.chorale.config.ModelSettings;
import io.chorale.config.SchedulerSettings;
import io.chorale.config.StreamSettings;
import io.chorale.engine.DeviceReading;
import io.chorale.engine.Engine;
import io.chorale.engine.EngineFault;
import io.chorale.engine.EngineSpec;
import io.chorale.engine.jni.NativeDevices;
import io.chorale.ops.DeviceMetrics;
import io.chorale.ops.HotAdapters;
import io.chorale.ops.LivenessProbe;
import io.chorale.ops.RequestLog;
import io.chorale.ops.RequestTraces;
import io.chorale.ops.ServingMetrics;
import io.chorale.ops.VllmMetrics;
import io.chorale.platform.NativeExecutable;
import io.chorale.serving.Door;
import io.chorale.serving.Lifecycle;
import io.chorale.serving.RequestReporter;
import io.chorale.serving.Service;
import io.chorale.simulate.ServerDevice;
import io.micrometer.core.instrument.MeterRegistry;
import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.trace.Tracer;
import io.quarkus.runtime.Quarkus;
import io.quarkus.runtime.ShutdownDelayInitiatedEvent;
import io.quarkus.runtime.ShutdownEvent;
import io.quarkus.runtime.StartupEvent;
import io.quarkus.vertx.http.HttpServerStart;
import io.smallrye.config.SmallRyeConfig;
import io.vertx.core.Vertx;
import jakarta.enterprise.event.Observes;
import jakarta.enterprise.event.ObservesAsync;
import jakarta.enterprise.inject.Produces;
import jakarta.inject.Singleton;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import org.eclipse.microprofile.config.inject.ConfigProperty;
import org.jboss.logging.Logger;

/**
 * Builds the service when the application starts, before the port is opened, and stops it in reverse. What is wrong with
 * the settings, the model or the machine stops the start with a sentence.
 */
@Singleton
public class ServingProducer {
    private static final Logger LOG = Logger.getLogger("io.chorale");
    private static final Duration LAST_BYTES_MAX = Duration.ofSeconds(3);

    private final ModelSettings model;
    private final AdapterSettings adapters;
    private final StreamSettings streams;
    private final LifecycleSettings lifecycle;
    private final String engineKind;

    private final AdapterIntake intake;
    private final AdapterAdministration administration;
    private final ServingMetrics metrics;
    private final DeviceMetrics devices;
    private final Service service;
    private final CostProfile profile;
    private final ServerDevice server;
    private final AccessSettings access;
    private final Keyring keyring;
    private final Callers callers;
    private final Reload reload;
    private final AuditLog audit;
    private final ModelCatalog catalog;
    private final EngineSpec spec;
    private final boolean hasText;
    private final Optional<Path> modelDirectory;
    private final ModelIntake modelIntake;

    ServingProducer(
            ModelSettings model,
            AdapterSettings adapters,
            StreamSettings streams,
            LifecycleSettings lifecycle,
            EngineSettings engineSettings,
            SchedulerSettings scheduler,
            AccessSettings access,
            ReloadableSettings reloadable,
            SettingsCheck settings,
            EngineFactory engines,
            ServiceFactory services,
            SourceFactory sources,
            SmallRyeConfig config,
            Vertx vertx,
            MeterRegistry meters) {
        this.model = model;
        this.adapters = adapters;
        this.streams = streams;
        this.lifecycle = lifecycle;
        this.access = access;
        this.engineKind = engineSettings.kind().name().toLowerCase(Locale.ROOT);
        settings.pass();
        keyring = new Keyring(reloadable.keys());
        audit = openAudit();
        modelIntake = new ModelIntake(model, adapters.stateDir(), sources.models(), vertx, config);
        BaseModel base = modelIntake.read();
        modelDirectory = base.directory();
        Engine engine = createEngine(engines, base);
        spec = engine.spec();
        intake = new AdapterIntake(adapters, base, spec.elementBytes());
        metrics = new ServingMetrics(meters);
        profile = new CostProfile(scheduler.costProfile());
        service = services.create(engine, intake.registry(), intake.source(), metrics, profile);
        server = services.device(spec, base.files().shape(), profile);
        metrics.bind(service.door());
        metrics.bind(engine);
        devices = new DeviceMetrics(devicesOf(engineSettings), System::nanoTime);
        devices.bind(meters);
        callers = new Callers(service.door().tenants(), PolicyFactory.objectives(reloadable.objectives()));
        reload = new Reload(config, this::accept);
        metrics.bind(sources.events());
        ModelCatalog.Base served = new ModelCatalog.Base(
                base.name(),
                base.root(),
                Instant.now().getEpochSecond(),
                spec.contextMax(),
                spec.vocab(),
                base.endTokens());
        catalog = new ModelCatalog(served, intake.registry(), intake.shelf().aliases(), base.text());
        administration = intake.administration(service.stager(), sources.adapters());
        hasText = base.text().isPresent();
    }

    /** Where there is a driver; an engine of ours has loaded the library that asks it. */
    private static DeviceReading.Source devicesOf(EngineSettings settings) {
        boolean asks = settings.kind() != EngineSettings.Kind.SIMULATED && EngineFactory.hasNvidiaDriver();
        return asks ? new NativeDevices() : List::of;
    }

    private AuditLog openAudit() {
        Optional<Path> file = access.auditFile();
        if (file.isEmpty()) {
            Logger log = Logger.getLogger("io.chorale.audit");
            return log::info;
        }
        try {
            return new AuditFile(file.get(), access.auditBytesMax().asLongValue());
        } catch (IOException unwritable) {
            throw StartRefusal.of("chorale.access.audit-file", file.get(), unwritable);
        }
    }

    /** Other limits from now on. */
    private void accept(ReloadableSettings newer) {
        keyring.replace(newer.keys()); // first: it may refuse them
        AdmissionSettings admission = newer.admission();
        service.door().limit(admission.requestsMax(), admission.queueRequestsMax(), admission.queueTokensMax());
        service.door().tenants().replace(PolicyFactory.tenants(newer.tenants()));
        callers.replace(PolicyFactory.objectives(newer.objectives()));
    }

    private Engine createEngine(EngineFactory engines, BaseModel base) {
        try {
            return engines.create(base.files(), base.endTokens());
        } catch (EngineFault rejected) {
            throw StartRefusal.of("chorale.engine.kind", engineKind, rejected);
        }
    }

    void start(@Observes StartupEvent event, Vertx vertx) {
        lifecycle
                .endWithin()
                .map(within -> new ProcessEnd(within, Quarkus::asyncExit, Runtime.getRuntime()::halt))
                .ifPresent(service.lifecycle()::whenDead);
        service.start();
        intake.pinned().forEach(named -> service.stager().pin(named.entry().version()));
        intake.shelf().begin(adapters.watch(), service.stager()::unused);
        reload.begin(lifecycle.reloadEvery());
        collectWhenQuiet(vertx);
        LOG.infof(
                "serving %s and %d adapters on %s (%s): %d pages of %d tokens, %d MiB, context %d",
                catalog.baseName(),
                intake.usableNames().size(),
                spec.backend(),
                spec.device(),
                spec.pageCount(),
                spec.pageTokens(),
                (spec.pageCount() * spec.pageBytes()) >> 20,
                spec.contextMax());
        modelIntake.close();
    }

    /** HotSpot's collectors see to themselves. */
    private void collectWhenQuiet(Vertx vertx) {
        long growth = lifecycle.quietCollection().asLongValue();
        if (growth > 0 && NativeExecutable.isThis()) {
            Runtime heap = Runtime.getRuntime();
            QuietCollector collector = new QuietCollector(
                    growth, service.door()::placesTaken, () -> heap.totalMemory() - heap.freeMemory(), heap::gc);
            vertx.setPeriodic(QuietCollector.LOOK_EVERY_MILLIS, look -> collector.look());
        }
    }

    @Produces
    @Singleton
    HotAdapters hotAdapters() {
        return new HotAdapters(() -> {
            Set<Integer> staged = Set.copyOf(service.stager().store().staged());
            return intake.pinned().stream()
                    .filter(named -> !staged.contains(named.entry().version()))
                    .map(NamedAdapter::name)
                    .toList();
        });
    }

    /** The port is open: says where, and how to ask something. */
    void listen(@ObservesAsync HttpServerStart event) {
        int port = event.options().getPort();
        if (port <= 0) {
            // Any free one, which the line of Quarkus names.
            return;
        }
        String address = "http://localhost:" + port;
        List<String> names = intake.usableNames();
        String name = names.isEmpty() ? catalog.baseName() : names.getLast();
        String question = hasText
                ? "/v1/chat/completions -d '{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"Tell me a story about a fox.\"}],\"stream\":true}'"
                : "/v1/completions -d '{\"model\":\"%s\",\"prompt\":[1,2,3],\"max_tokens\":16,\"stream\":true}'";
        LOG.infof(
                "open %s in a browser, or ask: curl -N -H 'Content-Type: application/json' %s%s",
                address, address, question.formatted(name));
    }

    /** While the port still answers: what is under way may finish, and who comes is told that we leave. */
    void drain(@Observes ShutdownDelayInitiatedEvent event, OpenExchanges exchanges) {
        service.drain();
        try {
            // For requests that have come and are not read yet, and the last bytes of answers.
            if (!exchanges.awaitEnd(LAST_BYTES_MAX)) {
                LOG.warnf("some clients have not sent or read all within %s", LAST_BYTES_MAX);
            }
        } catch (InterruptedException hurry) {
            Thread.currentThread().interrupt();
        }
    }

    void stop(@Observes ShutdownEvent event) throws IOException {
        reload.close();
        intake.shelf().close();
        service.close();
        profile.save();
        audit.close();
    }

    @Produces
    @Singleton
    Lifecycle lifecycle() {
        return service.lifecycle();
    }

    @Produces
    @Singleton
    DeviceMetrics devices() {
        return devices;
    }

    @Produces
    @Singleton
    Door door() {
        return service.door();
    }

    @Produces
    @Singleton
    ServerDevice server() {
        return server;
    }

    @Produces
    @Singleton
    ModelCatalog catalog() {
        return catalog;
    }

    @Produces
    @Singleton
    AdapterAdministration administration() {
        return administration;
    }

    @Produces
    @Singleton
    AdapterAliases aliases() {
        return intake.shelf().aliases();
    }

    @Produces
    @Singleton
    AdapterJson adapterJson() {
        return new AdapterJson(intake.registry(), service.stager(), service.door());
    }

    @Produces
    @Singleton
    Keyring keyring() {
        return keyring;
    }

    @Produces
    @Singleton
    AuditLog audit() {
        return audit;
    }

    @Produces
    @Singleton
    BodyGuard.UploadLimit uploadLimit() {
        return new BodyGuard.UploadLimit(adapters.uploadBytesMax().asLongValue());
    }

    @Produces
    @Singleton
    JsonBody.Limit bodyLimit() {
        return new JsonBody.Limit(
                Math.toIntExact(streams.bodyBytesMax().asLongValue()),
                streams.bodiesBytesMax().asLongValue(),
                streams.bodyWithin());
    }

    @Produces
    @Singleton
    CompletionReader reader() {
        SamplingDefaults defaults = modelDirectory
                .filter(folder -> model.generationConfig())
                .map(ModelDirectory::samplingDefaults)
                .orElse(SamplingDefaults.OPENAI);
        return new CompletionReader(catalog, streams.choicesMax(), defaults);
    }

    @Produces
    @Singleton
    Callers callers() {
        return callers;
    }

    @Produces
    @Singleton
    Answers answers() {
        return new Answers(service.door(), catalog, InstantSource.system(), streams.keepAlive(), streams.stallMax());
    }

    @Produces
    @Singleton
    StreamSessions sessions(Answers answers) {
        return new StreamSessions(
                answers,
                new StreamSessions.Options(
                        streams.resumableMax(),
                        streams.replayEventsMax(),
                        streams.resumeGrace(),
                        streams.keepAlive(),
                        streams.stallMax()));
    }

    @Produces
    @Singleton
    RequestReporter reporter(OpenTelemetry telemetry) {
        Tracer tracer = telemetry.getTracer("io.chorale");
        return RequestReporter.both(new RequestLog(), new RequestTraces(tracer, InstantSource.system()));
    }

    @Produces
    @Singleton
    VllmMetrics vllmMetrics() {
        ServedAdapters view =
                new ServedAdapters(intake.registry(), service.stager().store(), adapters.residentMax());
        return new VllmMetrics(metrics, service.door(), view, catalog.baseName(), spec.pageTokens());
    }

    @Produces
    @Singleton
    ServerResource.Version version(@ConfigProperty(name = "quarkus.application.version") String version) {
        return new ServerResource.Version(version);
    }

    @Produces
    @Singleton
    LivenessProbe.StuckAfter stuckAfter() {
        return new LivenessProbe.StuckAfter(lifecycle.stuckAfter());
    }
}
