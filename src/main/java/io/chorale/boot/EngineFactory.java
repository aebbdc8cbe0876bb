package io.chorale.boot;

import io.chorale.adapter.ModelFiles;
import io.chorale.adapter.ModelShape;
import io.chorale.config.AdapterSettings;
import io.chorale.config.EngineSettings;
import io.chorale.config.SchedulerSettings;
import io.chorale.core.policy.StepCostModel;
import io.chorale.engine.Engine;
import io.chorale.engine.EngineFault;
import io.chorale.engine.EngineSpec;
import io.chorale.engine.jni.NativeEngine;
import io.chorale.engine.jni.NativeEngineConfig;
import io.chorale.engine.sim.FaultPlan;
import io.chorale.engine.sim.SimClock;
import io.chorale.engine.sim.SimulatedEngine;
import io.chorale.engine.sim.SimulatedModel;
import io.chorale.platform.LibraryFolder;
import io.quarkus.runtime.configuration.MemorySize;
import jakarta.enterprise.context.ApplicationScoped;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.Supplier;
import org.jboss.logging.Logger;

/** Makes the engine that the settings ask for. */
@ApplicationScoped
public class EngineFactory {
    private static final Logger LOG = Logger.getLogger(EngineFactory.class);

    /** Contexts of full length that the page pool holds when nothing is said about its size. */
    private static final int CONTEXTS = 64;

    /** The pool takes what weights and activations leave of the device's memory. */
    private static final long DEVICE_DECIDES = 0;

    private final EngineSettings engine;
    private final AdapterSettings adapters;
    private final SchedulerSettings scheduler;

    public EngineFactory(EngineSettings engine, AdapterSettings adapters, SchedulerSettings scheduler) {
        this.engine = engine;
        this.adapters = adapters;
        this.scheduler = scheduler;
    }

    /**
     * @param endTokens that end an answer
     * @throws EngineFault naming what is wrong with the model or what is missing on this machine
     */
    public Engine create(ModelFiles model, int[] endTokens) {
        return switch (engine.kind()) {
            case SIMULATED -> simulated(model.shape(), endTokens);
            case CPU -> computed("cpu", model);
            case CUDA -> computed("cuda", model);
            case AUTO ->
                cudaMayRun()
                        ? cudaOr(engine.shards(), () -> computed("cuda", model), () -> computed("cpu", model))
                        : computed("cpu", model);
        };
    }

    /**
     * CUDA, and where it cannot be had the CPU. Who asks for several shards on a machine with GPUs wants them computed
     * there: a service a hundred times slower, of which a line in the log tells, is not what was meant.
     */
    static <E> E cudaOr(int shards, Supplier<E> cuda, Supplier<E> cpu) {
        try {
            return cuda.get();
        } catch (EngineFault fault) {
            if (shards > 1) {
                throw new EngineFault(
                        fault.kind(),
                        fault.getMessage() + " (chorale.engine.kind=cpu computes the " + shards
                                + " shards without GPUs)");
            }
            LOG.warnf("no CUDA (%s): the CPU computes", fault.getMessage());
            return cpu.get();
        }
    }

    /** Whether it is worth trying: the plugin was built, and a driver is there. */
    private static boolean cudaMayRun() {
        return Files.exists(LibraryFolder.path().resolve(System.mapLibraryName("chorale_cuda"))) && hasNvidiaDriver();
    }

    static boolean hasNvidiaDriver() {
        return Files.exists(Path.of("/dev/nvidiactl"));
    }

    /** Memory that is not there would be granted, and missed when the first long answers fill it. */
    static void checkPoolFits(long poolBytes, long machineBytes) {
        if (poolBytes > machineBytes) {
            throw StartRefusal.because("chorale.engine.pool-bytes = " + poolBytes + ": is more than the " + machineBytes
                    + " bytes of memory that this machine has");
        }
    }

    private Engine computed(String backend, ModelFiles model) {
        long poolBytes = engine.poolBytes()
                .map(MemorySize::asLongValue)
                .orElseGet(() -> backend.equals("cpu") ? defaultPoolBytes(model.shape()) : DEVICE_DECIDES);
        if (backend.equals("cpu")) {
            checkPoolFits(poolBytes, machineBytes());
        }
        NativeEngineConfig config = new NativeEngineConfig(
                backend,
                "",
                engine.threads(),
                poolBytes,
                adapters.residentMax(),
                scheduler.sequencesMax(),
                scheduler.stepTokensMax(),
                scheduler.sequencesMax(),
                scheduler.sequencesMax(),
                false,
                engine.recordDir().map(Path::toString).orElse(""),
                engine.recordSteps(),
                engine.shards(),
                engine.loraSharding().key(),
                engine.merging().key());
        return NativeEngine.create(config, model.manifest());
    }

    private static long defaultPoolBytes(ModelShape shape) {
        long tokenBytes = 2L * shape.layers() * shape.kvHeads() * shape.headDim() * Float.BYTES;
        long wanted = Math.multiplyExact(Math.multiplyExact(tokenBytes, shape.contextMax()), CONTEXTS);
        return Math.min(wanted, machineBytes() / 4);
    }

    private static long machineBytes() {
        return ManagementFactory.getOperatingSystemMXBean() instanceof com.sun.management.OperatingSystemMXBean machine
                ? machine.getTotalMemorySize()
                : Runtime.getRuntime().maxMemory();
    }

    /** As large as the real one would be by default. */
    private Engine simulated(ModelShape shape, int[] endTokens) {
        int pageTokens = 16;
        int pageCount = CONTEXTS * ((shape.contextMax() + pageTokens - 1) / pageTokens);
        EngineSpec spec = new EngineSpec(
                "simulated",
                "no device: tokens come from a hash",
                pageCount,
                pageTokens,
                2L * shape.layers() * shape.kvHeads() * shape.headDim() * Float.BYTES * pageTokens,
                shape.hidden(),
                shape.vocab(),
                shape.contextMax(),
                adapters.residentMax(),
                scheduler.sequencesMax(),
                scheduler.stepTokensMax(),
                scheduler.sequencesMax(),
                scheduler.sequencesMax(),
                1,
                Float.BYTES);
        int stopToken = endTokens.length == 0 ? 0 : endTokens[0];
        EngineSettings.Simulated how = engine.simulated();
        return new SimulatedEngine(new SimulatedEngine.Settings(
                spec,
                new SimulatedModel(0, shape.vocab(), stopToken, how.stopProbability()),
                StepCostModel.Linear.of(how.step().toNanos()),
                new SimClock.Wall(),
                new FaultPlan.Seeded(0, 0, 0, 0, 0, how.diesAtStep().orElse(Long.MAX_VALUE), 0)));
    }
}
