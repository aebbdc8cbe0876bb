package io.chorale.sim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.policy.StepCostModel;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.engine.sim.FaultPlan;
import io.chorale.engine.sim.SimulatedModel;
import io.chorale.workload.ArrivalProcess;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.LongStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Many small servers with limits, policies and faults drawn at random: corners that no sensible configuration visits. */
class SwarmSimTest {
    private static final int SWARM = Integer.getInteger("sim.swarm", 400);

    static LongStream seeds() {
        return LongStream.of(11, 12, 13, Long.getLong("sim.seed", 14));
    }

    @ParameterizedTest
    @MethodSource("seeds")
    void anyConfigurationServesOrDropsEverybody(long seed) {
        long finished = 0;
        long preemptions = 0;
        for (int i = 0; i < SWARM; i++) {
            SplittableRandom random = new SplittableRandom(seed * 1_000_003 + i);
            SimServer.Config config = config(random);
            RandomRequests workload = workload(random, config);
            try {
                SimRun run = new SimRun(config, workload, random.nextLong(), 1 + random.nextInt(20)).play();
                finished += run.finished();
                preemptions += run.server.scheduler.snapshot().preemptions();
            } catch (RuntimeException | AssertionError broken) {
                throw new AssertionError("seed " + seed + ", server " + i + ": " + config + " " + workload, broken);
            }
        }
        System.out.println("seed " + seed + ": " + finished + " finished, " + preemptions + " preemptions");
        assertTrue(finished > 1_000 && preemptions > 100, finished + " finished, " + preemptions + " preemptions");
    }

    /** The same seed, the same plans to the last bit: otherwise no failure could be found again. */
    @ParameterizedTest
    @MethodSource("seeds")
    void plansAreReproducible(long seed) {
        for (int i = 0; i < SWARM / 20; i++) {
            assertEquals(trace(seed * 7_000_003 + i), trace(seed * 7_000_003 + i), "seed " + seed + ", server " + i);
        }
    }

    private static List<String> trace(long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        SimServer.Config config = config(random);
        SimRun run = new SimRun(config, workload(random, config), seed, 5);
        run.server.withTrace();
        return run.play().server.trace;
    }

    static SimServer.Config config(SplittableRandom random) {
        int sequencesMax = 1 + random.nextInt(12);
        int stepTokensMax = sequencesMax + random.nextInt(40);
        int contextMax = 8 + random.nextInt(120);
        int vocab = 20 + random.nextInt(100);
        int slots = 1 + random.nextInt(6);
        SchedulerLimits limits = new SchedulerLimits(
                contextMax,
                vocab,
                1,
                stepTokensMax,
                1 + random.nextInt(32),
                sequencesMax,
                sequencesMax,
                random.nextInt(slots + 1),
                random.nextInt(4),
                random.nextInt(3));
        SchedulerPolicies policies = SchedulerPolicies.of(AnyPolicies.draw(random), StepCostModel.Linear.LARGE_GPU);
        if (random.nextInt(4) == 0) {
            policies = policies.withWeightMode(
                    new MergePolicy(1 + random.nextInt(4), random.nextBoolean(), 1 + random.nextInt(20)));
        }
        boolean faulty = random.nextBoolean();
        FaultPlan faults = new FaultPlan.Seeded(
                random.nextLong(),
                faulty ? 0.03 : 0,
                faulty ? 0.03 : 0,
                0.02,
                50_000_000,
                random.nextInt(10) == 0 ? random.nextInt(200) : Long.MAX_VALUE,
                faulty ? 0.1 : 0);
        return new SimServer.Config(
                new PoolGeometry(4 + random.nextInt(60), 1 + random.nextInt(16), slots, random.nextInt(4)),
                limits,
                policies,
                new SimulatedModel(random.nextLong(), vocab, 3, 0.2 * Math.pow(random.nextDouble(), 3)),
                faults,
                random.nextInt(2),
                1 + random.nextInt(4),
                random.nextInt(3) * 10_000_000L);
    }

    static RandomRequests workload(SplittableRandom random, SimServer.Config config) {
        return new RandomRequests(
                40 + random.nextInt(60),
                new ArrivalProcess(5 + random.nextInt(300), 0.5 + 3 * random.nextDouble()),
                1 + random.nextInt(12),
                random.nextDouble() * 2,
                1 + random.nextInt(60),
                1 + random.nextInt(80),
                random.nextDouble(),
                random.nextDouble(),
                random.nextDouble() * 0.5,
                random.nextDouble() * 0.4,
                random.nextInt(2) * 1_000_000_000L,
                config.limits().vocab(),
                3);
    }

    /** Stop tokens everywhere, clients leaving, adapters coming and going, one step ahead: no page is touched twice. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void stormsOfStopsCancelsAndUploadsKeepPagesApart(int lookAhead) {
        SchedulerLimits limits = SchedulerLimits.of(64, 50, 64, 16, 6);
        SimServer.Config config = new SimServer.Config(
                new PoolGeometry(40, 4, 8, 4),
                limits,
                SchedulerPolicies.PLAIN,
                new SimulatedModel(5, 50, 3, 0.4),
                FaultPlan.NONE,
                lookAhead,
                5,
                1_000_000);
        RandomRequests storm =
                new RandomRequests(5_000, new ArrivalProcess(300, 3), 60, 0.3, 24, 30, 0.1, 0.2, 0.2, 0.6, 0, 50, 3);
        SimRun run = new SimRun(config, storm, 77, 10).play();
        System.out.println("storm, look-ahead " + lookAhead + ": " + run.report());
        assertTrue(run.server.scheduler.snapshot().adapterLoads() > 1_000, run::report);
        assertTrue(run.finished() > 2_000, run::report);
    }
}
