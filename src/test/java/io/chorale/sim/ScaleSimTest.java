package io.chorale.sim;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.policy.PolicySettings;
import io.chorale.core.policy.StepCostModel;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.engine.sim.FaultPlan;
import io.chorale.engine.sim.SimulatedModel;
import io.chorale.workload.ArrivalProcess;
import java.util.stream.LongStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** 2,000 adapters and 10,000 requests, everything that can go wrong going wrong, every check after every step. */
class ScaleSimTest {
    private static final int VOCAB = 1000;
    private static final int STOP = 7;

    /** Three fixed seeds and one from {@code -Dsim.seed}. */
    static LongStream seeds() {
        return LongStream.of(1, 2, 3, Long.getLong("sim.seed", 4));
    }

    private static final RandomRequests WORKLOAD = new RandomRequests(
            10_000, new ArrivalProcess(90, 2), 2_000, 1.0, 160, 64, 0.1, 0.1, 0.1, 0.05, 4_000_000_000L, VOCAB, STOP);

    private static SimServer.Config config(long seed, FaultPlan faults, int lookAhead) {
        SchedulerPolicies policies = SchedulerPolicies.of(
                PolicySettings.FCFS.with(new PolicySettings.Abort(PolicySettings.Estimate.MEASURED, 0)),
                StepCostModel.Linear.LARGE_GPU);
        return new SimServer.Config(
                new PoolGeometry(480, 4, 40, 8),
                SchedulerLimits.of(256, VOCAB, 512, 64, 20),
                policies,
                new SimulatedModel(seed, VOCAB, STOP, 0.02),
                faults,
                lookAhead,
                7,
                30_000_000);
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void everyRequestEndsOnceWhateverGoesWrong(long seed) {
        for (int lookAhead = 0; lookAhead <= 1; lookAhead++) {
            FaultPlan faults = new FaultPlan.Seeded(seed, 0.002, 0.002, 0.01, 200_000_000, Long.MAX_VALUE, 0.02);
            SimRun run = new SimRun(config(seed, faults, lookAhead), WORKLOAD, seed, 200).play();
            System.out.println("seed " + seed + ", look-ahead " + lookAhead + ": " + run.report());
            assertTrue(run.finished() > 5_000, run::report);
            assertTrue(run.server.scheduler.snapshot().stepsFailed() > 0, run::report);
            assertTrue(run.server.scheduler.snapshot().evictions() > 100, run::report);
            assertTrue(run.server.scheduler.snapshot().preemptions() > 0, run::report);
        }
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void aDeadEngineEndsEveryRequestOnce(long seed) {
        for (int lookAhead = 0; lookAhead <= 1; lookAhead++) {
            FaultPlan faults = new FaultPlan.Seeded(seed, 0, 0, 0, 0, 300 + seed * 37, 0);
            SimRun run = new SimRun(config(seed, faults, lookAhead), WORKLOAD, seed, 200).play();
            assertTrue(run.server.dead && run.dropped().toString().contains("ENGINE_DEAD"), run::report);
        }
    }
}
