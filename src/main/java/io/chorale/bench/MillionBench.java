package io.chorale.bench;

import com.sun.management.OperatingSystemMXBean;
import io.chorale.simulate.DeviceProfiles;
import io.chorale.simulate.Dispatcher;
import io.chorale.simulate.PolicyText;
import io.chorale.simulate.Simulation;
import io.chorale.simulate.SimulationResult;
import io.chorale.simulate.SimulationSettings;
import io.chorale.simulate.SimulationSettings.Batch;
import io.chorale.simulate.SimulationSettings.Door;
import io.chorale.simulate.SimulationSettings.Objectives;
import io.chorale.workload.RetryRule;
import io.chorale.workload.SLoraGenerator;
import io.chorale.workload.Workload;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.util.Locale;

/**
 * A million requests with S-LoRA's lengths over 10,000 adapters on one simulated H100 that is just saturated: processor time of
 * the whole process, compiler and collector included, which is what it takes on one core.
 */
final class MillionBench {
    private static final int REQUESTS = 1_000_000;
    private static final int ADAPTERS = 10_000;
    private static final int ADAPTERS_PER_STEP = 256;
    private static final int WAITING_MAX = 10_000;
    private static final double RATE = 16.5;
    private static final double TARGET_SECONDS = 60;

    private final History history;

    MillionBench(History history) {
        this.history = history;
    }

    void run() throws IOException {
        OperatingSystemMXBean system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        long before = system.getProcessCpuTime();
        // Half a request more, or rounding might leave one out.
        Workload workload = SLoraGenerator.of(ADAPTERS, 1, RATE, 1, (REQUESTS + 0.5) / RATE, 64, 32, 16, 8)
                .draw();
        Batch server = Batch.SERVER;
        SimulationSettings settings = new SimulationSettings(
                DeviceProfiles.H100_8B,
                PolicyText.parse("chorale"),
                "chorale",
                new Batch(
                        server.prefillChunkTokens(),
                        ADAPTERS_PER_STEP,
                        server.bypassMax(),
                        server.prefetchMax(),
                        server.lookAhead()),
                new Door(WAITING_MAX, Long.MAX_VALUE, 1),
                1,
                Dispatcher.ROUND_ROBIN,
                RetryRule.NEVER,
                new Objectives(6, 0.5),
                SLoraGenerator.SEED);
        SimulationResult result = new Simulation(settings, workload).run(Simulation.Progress.SILENT);
        double seconds = (system.getProcessCpuTime() - before) / 1e9;
        history.record(
                "simulate-million",
                "s",
                new double[] {seconds},
                TARGET_SECONDS,
                String.format(
                        Locale.ROOT,
                        "%,d requests over %,d adapters, %.1f a second, %,d steps, %.1f us a step; processor time",
                        workload.size(),
                        ADAPTERS,
                        RATE,
                        result.steps(),
                        1e6 * seconds / result.steps()));
    }
}
