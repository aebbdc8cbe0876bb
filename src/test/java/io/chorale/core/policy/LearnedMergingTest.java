package io.chorale.core.policy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.policy.StepCostModel.Linear;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The cost rule on costs that it has to find out: what steps take is drawn from a machine that it does not know. */
class LearnedMergingTest {
    private static final int PLACES = 32;
    private static final int STEPS = 40_000;
    private static final double NOISE = 0.1;

    /** Adapters take a tenth of a step of 32 rows that all have one. */
    private static final Linear DEAR = new Linear(8_000_000, 40_000, 2, 30_000, 2_000, 30_000, 90_000, 15_000_000);

    /** Adapters are nearly free. */
    private static final Linear FREE = new Linear(8_000_000, 40_000, 2, 0, 0, 500, 90_000, 15_000_000);

    private final RandomGenerator random = new SplittableRandom(7);

    /** One step after the other, as the rule wants them. */
    private final class Machine {
        private final Linear truth;
        private final LearnedCosts costs = new LearnedCosts(Linear.FREE);
        private final CostRule rule = new CostRule(costs, true, 0);
        private final BatchDemand batch = new BatchDemand();
        private final StepShape shape = new StepShape();
        private int shadow = -1;
        private double nanos;
        private double nanosUnmerged;
        private int mergedSteps;
        private int merges;

        Machine(Linear truth) {
            this.truth = truth;
        }

        /** @param shares of the adapters in the batch */
        void run(int steps, double... shares) {
            for (int i = 0; i < steps; i++) {
                draw(shares);
                step(rule.choose(batch, 0));
            }
        }

        private void draw(double[] shares) {
            batch.clear();
            batch.runningMax = PLACES;
            batch.pageCount = 1_000;
            int rows = 0;
            for (int version = 0; version < shares.length; version++) {
                int running = (int) (PLACES * shares[version]) + (random.nextInt(8) == 0 ? 1 : 0);
                running = Math.min(running, PLACES - rows);
                if (running > 0) {
                    int i = batch.add(version, 6, running);
                    batch.running[i] = running;
                    batch.tokensLeft[i] = 200L * running;
                    batch.unmerged.adapters++;
                    batch.unmerged.adapterPages += 6;
                }
                rows += running;
            }
            batch.requests = rows;
            batch.unmerged.rows(rows, 500L * rows + random.nextInt(4_000));
            batch.unmerged.adapterRows = rows;
        }

        private void step(WeightMode mode) {
            shape.clear().rows(batch.unmerged.rows, batch.unmerged.contextTokens);
            shape.adapters = batch.unmerged.adapters;
            shape.adapterPages = batch.unmerged.adapterPages;
            shape.adapterRows = batch.unmerged.adapterRows;
            nanosUnmerged += truth.stepNanos(shape);
            if (mode instanceof WeightMode.Merged(int version, boolean mixture)) {
                int others = shape.rows - batch.running[batch.indexOf(version)];
                shape.rows -= mixture ? 0 : others;
                shape.adapters = mixture && others > 0 ? batch.unmerged.adapters : 0;
                shape.adapterPages = 6 * shape.adapters;
                shape.adapterRows = mixture ? 2 * others : 0;
                shape.mergePages = shadow == version ? 0 : 6;
                merges += shadow == version ? 0 : 1;
                shadow = version;
                mergedSteps++;
            } else if (mode == WeightMode.UNMERGED) {
                shadow = -1;
            }
            long took = truth.stepNanos(shape);
            nanos += took;
            costs.observe(shape, (long) (took * (1 + NOISE * random.nextGaussian())));
        }
    }

    @Test
    void mergesWhatTurnsOutToPay() {
        Machine machine = new Machine(DEAR);
        machine.run(STEPS, 0.95, 0.02);
        assertTrue(machine.mergedSteps > STEPS * 0.8, () -> machine.mergedSteps + " steps merged");
        assertTrue(machine.nanos < 0.95 * machine.nanosUnmerged, () -> machine.nanos / machine.nanosUnmerged + "");
    }

    @Test
    void triesSeldomWhatDoesNotPay() {
        Machine machine = new Machine(FREE);
        machine.run(STEPS, 1);
        assertTrue(machine.nanos < 1.002 * machine.nanosUnmerged, () -> machine.nanos / machine.nanosUnmerged + "");
        assertTrue(machine.merges <= 10, () -> machine.merges + " merges");
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 5, 16})
    void nothingIsTriedWhereDemandIsUniform(int adapters) {
        double[] shares = new double[adapters];
        Arrays.fill(shares, 1.0 / adapters);
        for (Linear truth : new Linear[] {DEAR, FREE}) {
            Machine machine = new Machine(truth);
            machine.run(STEPS, shares);
            assertEquals(0, machine.mergedSteps);
        }
    }

    @Test
    void whatIsKnownOfAdaptersDoesNotDependOnHowFastTheMachineIs() {
        for (long times : new long[] {1, 1_000}) {
            Linear slow = new Linear(
                    DEAR.baseNanos() * times,
                    DEAR.rowNanos() * times,
                    DEAR.contextTokenNanos() * times,
                    DEAR.adapterNanos() * times,
                    DEAR.adapterPageNanos() * times,
                    DEAR.adapterRowNanos() * times,
                    DEAR.loadPageNanos() * times,
                    DEAR.mergeNanos() * times);
            Machine machine = new Machine(slow);
            machine.run(STEPS / 2, 0.95, 0.02);
            assertTrue(machine.mergedSteps > STEPS / 4, () -> times + ": " + machine.mergedSteps + " steps merged");
        }
    }
}
