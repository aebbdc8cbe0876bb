package io.chorale.simulate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.policy.PolicySettings;
import io.chorale.simulate.SimulationSettings.Batch;
import io.chorale.simulate.SimulationSettings.Door;
import io.chorale.simulate.SimulationSettings.Objectives;
import io.chorale.workload.RetryRule;
import io.chorale.workload.SLoraGenerator;
import io.chorale.workload.Workload;
import org.junit.jupiter.api.Test;

/** The simulator as a whole: what must hold whatever is simulated. */
class SimulationTest {
    private static final Workload SMALL =
            SLoraGenerator.of(40, 0.5, 8, 2, 30, 64, 32, 16, 8).draw();

    private static SimulationSettings settings(int replicas, Door door, RetryRule retry) {
        return new SimulationSettings(
                DeviceProfiles.H100_8B,
                PolicySettings.FCFS,
                "fcfs",
                Batch.SERVER,
                door,
                replicas,
                Dispatcher.LEAST_LOAD,
                retry,
                new Objectives(6, 0.5),
                7);
    }

    private static SimulationResult run(SimulationSettings settings, Workload workload) {
        return new Simulation(settings, workload).run(Simulation.Progress.SILENT);
    }

    @Test
    void servesEverybodyWhereThereIsRoom() {
        SimulationResult result = run(settings(1, Door.OPEN, RetryRule.NEVER), SMALL);
        assertEquals(SMALL.size(), result.served());
        assertEquals(SMALL.size(), result.ttft().length);
        assertEquals(1, result.attainment(), 0.01);
        assertTrue(result.uploads() >= 30 && result.busyShare() > 0 && result.busyShare() <= 1);
        assertEquals(SMALL.answerTokensSum() - SMALL.size(), result.gaps().count());
        assertEquals(result.tokensPerSecond() * result.seconds(), SMALL.answerTokensSum(), 1);
    }

    @Test
    void givesTheSameResultForTheSameSettings() {
        SimulationSettings settings = settings(2, new Door(4, 1_000_000, 1), RetryRule.OPENAI);
        SimulationResult once = run(settings, SMALL);
        SimulationResult again = run(settings, SMALL);
        assertEquals(ResultTable.text(java.util.List.of(once)), ResultTable.text(java.util.List.of(again)));
    }

    /** One request alone: its times can be added up by hand. */
    @Test
    void takesTheTimeThatTheDeviceSays() {
        Workload one = new SLoraGenerator(0, 1, 1, 1, 1, 100, 101, 11, 12, 1, new int[] {8}).draw();
        SimulationResult result = run(settings(1, Door.OPEN, RetryRule.NEVER), one);
        DeviceCosts costs = DeviceProfiles.H100_8B.costs();
        double prefill = costs.dense(100) + 100 * (100 - 99 / 2.0) * costs.pairNanos();
        assertEquals(prefill / 1e9, result.ttft()[0], 1e-7);
        double decode = 0;
        for (int context = 101; context <= 110; context++) {
            decode += costs.dense(1) + context * costs.contextTokenNanos();
        }
        assertEquals((prefill + decode) / 1e9, result.meanLatencySeconds(), 1e-6);
    }

    @Test
    void sharesTheWorkAmongReplicas() {
        Workload heavy = SLoraGenerator.of(20, 1, 30, 1, 30, 16).draw();
        SimulationResult one = run(settings(1, Door.OPEN, RetryRule.NEVER), heavy);
        SimulationResult four = run(settings(4, Door.OPEN, RetryRule.NEVER), heavy);
        assertEquals(heavy.size(), four.served());
        assertTrue(four.ttftQuantile(0.99) < one.ttftQuantile(0.99) / 2, () -> four + " " + one);
    }

    @Test
    void letsRefusedClientsTryAgainAsOftenAsTheyDo() {
        Workload flood = SLoraGenerator.of(20, 1, 400, 1, 5, 16).draw();
        SimulationResult never = run(settings(1, new Door(1, 1_000_000, 1), RetryRule.NEVER), flood);
        SimulationResult twice = run(settings(1, new Door(1, 1_000_000, 1), RetryRule.OPENAI), flood);
        assertTrue(never.rejected() > 100 && never.retries() == 0, () -> "refused " + never.rejected());
        assertTrue(twice.retries() > 100 && twice.retries() <= 2L * flood.size());
        assertTrue(twice.served() > never.served());
        assertEquals(flood.size(), twice.served() + twice.rejected() + twice.aborted() + twice.refused());
    }

    @Test
    void countsWhoNeverGotATokenAsMissed() {
        Workload flood = SLoraGenerator.of(20, 1, 400, 1, 5, 16).draw();
        SimulationResult result = run(settings(1, new Door(1, 1_000_000, 1), RetryRule.NEVER), flood);
        assertTrue(result.attainment() <= (double) result.served() / flood.size());
        assertFalse(Double.isNaN(result.satisfaction()));
    }

    @Test
    void endsWhenItIsTold() {
        SimulationResult cut = new Simulation(settings(1, Door.OPEN, RetryRule.NEVER), SMALL)
                .run((ended, requests, seconds) -> seconds < 3);
        assertTrue(cut.cut() && cut.served() < SMALL.size());
    }
}
