package io.chorale.simulate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.policy.PolicySettings;
import io.chorale.simulate.SimulationSettings.Batch;
import io.chorale.simulate.SimulationSettings.Door;
import io.chorale.simulate.SimulationSettings.Objectives;
import io.chorale.workload.RetryRule;
import io.chorale.workload.SLoraGenerator;
import io.chorale.workload.Workload;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

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

    private static SimulationResult run(DeviceProfile device, Workload workload) {
        SimulationSettings settings = new SimulationSettings(
                device,
                PolicySettings.CHORALE,
                "chorale",
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
