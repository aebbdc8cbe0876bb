package io.chorale.simulate;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.simulate.SimulationSettings.Batch;
import io.chorale.simulate.SimulationSettings.Door;
import io.chorale.simulate.SimulationSettings.Objectives;
import io.chorale.workload.RetryRule;
import io.chorale.workload.SLoraGenerator;
import io.chorale.workload.Workload;
import java.util.Arrays;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Twice and five times what can be served, from clients who try again: at all times as many are served in time as can be. A
 * door that takes those who wait, and will be passed, for those who go before would open and close by turns, and whoever
 * came to a closed one came back in a heap.
 */
class OverloadDoorTest {
    /** Until the line is as long as overload makes it. */
    private static final double WARM_SHARE = 0.1;

    @ParameterizedTest
    @CsvSource({"40, 42, 0.48", "40, 7, 0.48", "40, 11, 0.5", "100, 42, 0.28"})
    void noPartOfTheTimeIsWithoutAnybodyInTime(double rate, int seed, double attainmentMin) {
        Workload workload = SLoraGenerator.of(200, 1, rate, 1, 60, 64, 32, 16, 8)
                .withSeed(seed)
                .draw();
        SimulationSettings settings = new SimulationSettings(
                DeviceProfiles.H100_8B,
                PolicyText.parse("chorale"),
                "chorale",
                Batch.SERVER,
                Door.SERVER,
                1,
                Dispatcher.ROUND_ROBIN,
                RetryRule.OPENAI,
                new Objectives(6, 0.5),
                seed);
        SimulationResult result = new Simulation(settings, workload).run(Simulation.Progress.SILENT);
        assertTrue(result.attainment() >= attainmentMin, () -> "attainment " + result.attainment());
        double[] overTime = result.attainmentOverTime();
        double least = Arrays.stream(overTime)
                .skip((long) (WARM_SHARE * overTime.length))
                .min()
                .orElseThrow();
        assertTrue(least > result.attainment() / 3, () -> "over time " + Arrays.toString(overTime));
    }
}
