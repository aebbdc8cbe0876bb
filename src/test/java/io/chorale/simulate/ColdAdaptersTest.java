package io.chorale.simulate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.simulate.SimulationSettings.Batch;
import io.chorale.simulate.SimulationSettings.Door;
import io.chorale.simulate.SimulationSettings.Objectives;
import io.chorale.workload.RetryRule;
import io.chorale.workload.SLoraGenerator;
import io.chorale.workload.Workload;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What it costs the first token that most adapters are not on the device when they are asked for. */
class ColdAdaptersTest {
    private static final int SECONDS = 400;
    private static final double TTFT_RATIO_MAX = 1.5;

    /**
     * An H100 with the 8B model whose pool holds so many adapters when it holds nothing else, and four times as many that
     * are asked for, all alike; against the same requests with room for all of them.
     */
    @ParameterizedTest
    @CsvSource({"16, 64, 8", "16, 128, 12", "64, 64, 6"})
    void theFirstTokenWaitsAtMostHalfAsLongAgain(int rank, int poolAdapters, double rate) {
        DeviceProfile h100 = DeviceProfiles.H100_8B;
        int pages = poolAdapters * h100.adapterPages(rank);
        Workload workload =
                SLoraGenerator.of(4 * poolAdapters, 1, rate, 1, SECONDS, rank).draw();
        SimulationResult warm = run(h100.withPages(5 * pages), workload);
        SimulationResult cold = run(h100.withPages(pages), workload);
        assertEquals(workload.size(), cold.served());
        assertTrue(warm.uploads() < workload.size() / 3, () -> "uploads " + warm.uploads());
        assertTrue(cold.uploads() > workload.size() / 2, () -> "uploads " + cold.uploads());
        for (double quantile : new double[] {0.5, 0.9, 0.99}) {
            double ratio = cold.ttftQuantile(quantile) / warm.ttftQuantile(quantile);
            assertTrue(ratio <= TTFT_RATIO_MAX, () -> "quantile " + quantile + ": " + ratio);
        }
    }

    /** Uploads ahead of need take memory that nobody misses: they make few others, and lose next to nothing. */
    @ParameterizedTest
    @ValueSource(ints = {42, 7, 11})
    void uploadsAheadOfNeedDisplaceNothing(int seed) {
        Workload workload = SLoraGenerator.of(2_000, 0.3, 21, 4, 60, 64, 32, 16, 8)
                .withSeed(seed)
                .draw();
        SimulationResult ahead = run(DeviceProfiles.H100_8B, workload, "chorale");
        SimulationResult needed = run(DeviceProfiles.H100_8B, workload, "chorale,prefetch=off");
        assertTrue(ahead.uploads() < 1.1 * needed.uploads(), () -> ahead.uploads() + " of " + needed.uploads());
        assertTrue(ahead.goodput() > 0.99 * needed.goodput(), () -> ahead.goodput() + " of " + needed.goodput());
    }

    private static SimulationResult run(DeviceProfile device, Workload workload) {
        return run(device, workload, "chorale");
    }

    private static SimulationResult run(DeviceProfile device, Workload workload, String policy) {
        SimulationSettings settings = new SimulationSettings(
                device,
                PolicyText.parse(policy),
                policy,
                Batch.SERVER,
                Door.OPEN,
                1,
                Dispatcher.ROUND_ROBIN,
                RetryRule.NEVER,
                new Objectives(6, 0.5),
                7);
        return new Simulation(settings, workload).run(Simulation.Progress.SILENT);
    }
}
