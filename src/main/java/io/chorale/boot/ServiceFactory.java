package io.chorale.boot;

import io.chorale.adapter.AdapterRegistry;
import io.chorale.adapter.AdapterSource;
import io.chorale.adapter.ModelShape;
import io.chorale.config.AdapterSettings;
import io.chorale.config.AdmissionSettings;
import io.chorale.config.EngineSettings;
import io.chorale.config.LifecycleSettings;
import io.chorale.config.PolicyOverrides;
import io.chorale.config.SchedulerSettings;
import io.chorale.config.StreamSettings;
import io.chorale.config.TenantSettings;
import io.chorale.core.admission.AdmissionController;
import io.chorale.core.admission.AdmissionLimits;
import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.memory.PrefixCaching;
import io.chorale.core.policy.PolicySettings;
import io.chorale.core.sched.Scheduler;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.engine.Engine;
import io.chorale.engine.EngineSpec;
import io.chorale.serving.Service;
import io.chorale.serving.ServingObserver;
import io.chorale.serving.ServingOptions;
import io.chorale.serving.Tenants;
import io.chorale.simulate.DeviceProfile;
import io.chorale.simulate.DeviceProfiles;
import io.chorale.simulate.ServerDevice;
import jakarta.inject.Singleton;
import java.security.SecureRandom;

/** Puts scheduler, door and loop around an engine, as the settings say. */
@Singleton
public class ServiceFactory {
    private final EngineSettings engineSettings;
    private final AdapterSettings adapters;
    private final SchedulerSettings scheduler;
    private final AdmissionSettings admission;
    private final StreamSettings streams;
    private final LifecycleSettings lifecycle;
    private final PolicyOverrides policies;
    private final TenantSettings tenants;

    ServiceFactory(
            EngineSettings engineSettings,
            AdapterSettings adapters,
            SchedulerSettings scheduler,
            AdmissionSettings admission,
            StreamSettings streams,
            LifecycleSettings lifecycle,
            PolicyOverrides policies,
            TenantSettings tenants) {
        this.engineSettings = engineSettings;
        this.adapters = adapters;
        this.scheduler = scheduler;
        this.admission = admission;
        this.streams = streams;
        this.lifecycle = lifecycle;
        this.policies = policies;
        this.tenants = tenants;
    }

    /** @param profile what is known of the engine's costs */
    Service create(
            Engine engine,
            AdapterRegistry registry,
            AdapterSource source,
            ServingObserver observer,
            CostProfile profile) {
        EngineSpec spec = engine.spec();
        PoolGeometry pool = new PoolGeometry(spec.pageCount(), spec.pageTokens(), spec.slotsMax(), spec.scratchMax());
        SchedulerLimits limits = new SchedulerLimits(
                spec.contextMax(),
                spec.vocab(),
                spec.layerGroups(),
                Math.min(scheduler.stepTokensMax(), spec.rowsMax()),
                scheduler.prefillChunkTokens(),
                Math.min(scheduler.sequencesMax(), spec.sequencesMax()),
                spec.samplesMax(),
                scheduler.adaptersPerStepMax(),
                scheduler.bypassMax(),
                scheduler.prefetchAdaptersMax());
        PolicySettings choices = PolicyFactory.policies(policies);
        Tenants known = new Tenants(PolicyFactory.tenants(tenants), System::nanoTime);
        AdmissionController door = new AdmissionController(new AdmissionLimits(
                limits.sequencesMax(),
                admission.queueRequestsMax(),
                admission.queueTokensMax(),
                spec.contextMax(),
                pool,
                limits.prefillChunkTokens(),
                choices.abort().estimate() != PolicySettings.Estimate.NEVER));
        ServingOptions options = new ServingOptions(
                engineSettings.overlapped(),
                admission.requestsMax(),
                streams.bufferEventsMax(),
                adapters.hostBytes().asLongValue(),
                lifecycle.drainGrace());
        return new Service(
                engine,
                new Scheduler(
                        pool,
                        limits,
                        SchedulerPolicies.of(choices, profile.costs()).withWeights(known::weight),
                        new PrefixCaching(scheduler.prefixCache(), new SecureRandom().nextLong())),
                door,
                registry,
                source,
                observer,
                System::nanoTime,
                known,
                options);
    }

    /** What /v1/plan simulates when it is asked about this server: what the engine holds, and what its steps were seen to take. */
    ServerDevice device(EngineSpec spec, ModelShape shape, CostProfile profile) {
        DeviceProfile place = new DeviceProfile(
                ServerDevice.NAME,
                DeviceProfiles.H100_8B.costs(),
                spec.pageCount(),
                spec.pageTokens(),
                pagesPerRank(shape, spec.pageTokens()),
                spec.slotsMax(),
                spec.contextMax(),
                Math.min(scheduler.stepTokensMax(), spec.rowsMax()),
                Math.min(scheduler.sequencesMax(), spec.sequencesMax()),
                "this server");
        return new ServerDevice(place, profile.costs()::profile);
    }

    /** Of an adapter on all seven linears: numbers of A and B for each rank, and numbers of keys and values in a page. */
    private static double pagesPerRank(ModelShape shape, int pageTokens) {
        double queries = (double) shape.heads() * shape.headDim();
        double keys = (double) shape.kvHeads() * shape.headDim();
        double attention = 2 * (shape.hidden() + queries) + 2 * (shape.hidden() + keys);
        double mlp = 3.0 * (shape.hidden() + shape.intermediate());
        return (attention + mlp) / (2 * keys * pageTokens);
    }
}
