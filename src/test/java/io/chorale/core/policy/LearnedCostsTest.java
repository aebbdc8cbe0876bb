package io.chorale.core.policy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.policy.StepCostModel.Linear;
import java.util.SplittableRandom;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;

class LearnedCostsTest {
    private static final Linear TRUTH = new Linear(9_000_000, 50_000, 3, 100_000, 10_000, 20_000, 150_000, 30_000_000);

    private final RandomGenerator random = new SplittableRandom(3);
    private final StepShape shape = new StepShape();

    /** A step of any kind. */
    private StepShape any() {
        int rows = 1 + random.nextInt(400);
        shape.clear().rows(rows, rows * (100L + random.nextInt(1_000)));
        shape.adapters = random.nextInt(12);
        shape.adapterPages = shape.adapters * (2 + random.nextInt(6));
        shape.adapterRows = shape.adapters == 0 ? 0 : random.nextInt(rows + 1);
        shape.loadPages = random.nextInt(20) == 0 ? 8 : 0;
        shape.mergePages = random.nextInt(200) == 0 ? 8 : 0;
        return shape;
    }

    /** A step of which every row has one of two adapters. */
    private StepShape covered() {
        int rows = 1 + random.nextInt(32);
        shape.clear().rows(rows, rows * 500L);
        shape.adapters = 2;
        shape.adapterPages = 8;
        shape.adapterRows = rows;
        return shape;
    }

    private void see(LearnedCosts costs, StepShape step, double noise) {
        costs.observe(step, (long) (TRUTH.stepNanos(step) * (1 + noise * random.nextGaussian())));
    }

    @Test
    void findsThePricesThatStepsAreMadeOf() {
        LearnedCosts costs = new LearnedCosts(Linear.FREE);
        for (int i = 0; i < 20_000; i++) {
            see(costs, any(), 0.05);
        }
        Linear found = costs.profile();
        assertEquals(TRUTH.baseNanos(), found.baseNanos(), 0.1 * TRUTH.baseNanos());
        assertEquals(TRUTH.rowNanos(), found.rowNanos(), 0.05 * TRUTH.rowNanos());
        assertEquals(TRUTH.contextTokenNanos(), found.contextTokenNanos(), 0.05 * TRUTH.contextTokenNanos());
        assertEquals(TRUTH.adapterNanos(), found.adapterNanos(), 0.25 * TRUTH.adapterNanos());
        assertEquals(TRUTH.adapterRowNanos(), found.adapterRowNanos(), 0.1 * TRUTH.adapterRowNanos());
        assertEquals(TRUTH.mergeNanos(), found.mergeNanos(), 0.1 * TRUTH.mergeNanos());
        assertTrue(costs.error() < 0.06, () -> "error " + costs.error());
    }

    @Test
    void predictsAfterAFewStepsHoweverFastTheMachine() {
        for (double times : new double[] {0.001, 1, 1_000}) {
            LearnedCosts costs = new LearnedCosts(Linear.FREE);
            for (int i = 0; i < 50; i++) {
                StepShape step = any();
                costs.observe(step, (long) (times * TRUTH.stepNanos(step)));
            }
            for (int i = 0; i < 100; i++) {
                StepShape step = any();
                if (step.loadPages == 0 && step.mergePages == 0) {
                    double truth = times * TRUTH.stepNanos(step);
                    assertEquals(truth, costs.stepNanos(step), 0.25 * truth, () -> times + " times");
                }
            }
        }
    }

    @Test
    void doubtsWhatAlwaysComesTogetherAndDoesNotKeepItAsKnown() {
        LearnedCosts costs = new LearnedCosts(Linear.FREE);
        for (int i = 0; i < 5_000; i++) {
            see(costs, covered(), 0.02);
        }
        StepShape with = new StepShape().rows(16, 8_000);
        with.adapters = 2;
        with.adapterPages = 8;
        with.adapterRows = 16;
        StepShape without = new StepShape().rows(16, 8_000);
        assertEquals(TRUTH.stepNanos(with), costs.stepNanos(with), 0.01 * TRUTH.stepNanos(with));
        long saved = costs.stepNanos(with) - costs.stepNanos(without);
        assertTrue(saved < 2 * costs.doubtNanos(with, without, 1), "nothing tells what adapters cost");
        assertEquals(0, costs.profile().adapterRowNanos());
        assertEquals(0, costs.profile().adapterNanos());

        for (int i = 0; i < 50; i++) {
            see(costs, without, 0.02);
        }
        saved = costs.stepNanos(with) - costs.stepNanos(without);
        long truth = TRUTH.stepNanos(with) - TRUTH.stepNanos(without);
        assertEquals(truth, saved, 0.3 * truth);
        assertTrue(saved > 2 * costs.doubtNanos(with, without, 1), "now it does");
    }

    @Test
    void believesAProfileUntilStepsContradictIt() {
        LearnedCosts costs = new LearnedCosts(TRUTH);
        assertEquals(TRUTH, costs.profile());
        StepShape step = covered();
        assertEquals(TRUTH.stepNanos(step), costs.stepNanos(step), 1e3);
        assertTrue(costs.doubtNanos(step, new StepShape(), 1) < TRUTH.stepNanos(step) / 5);
        for (int i = 0; i < 3_000; i++) {
            StepShape seen = any();
            costs.observe(seen, 3 * TRUTH.stepNanos(seen));
        }
        assertEquals(3.0 * TRUTH.rowNanos(), costs.profile().rowNanos(), 0.2 * TRUTH.rowNanos());
    }

    @Test
    void oneStepThatWasHeldUpChangesLittle() {
        LearnedCosts costs = new LearnedCosts(Linear.FREE);
        for (int i = 0; i < 1_000; i++) {
            see(costs, any(), 0.02);
        }
        StepShape step = covered();
        long before = costs.stepNanos(step);
        costs.observe(step, 1_000 * before);
        assertEquals(before, costs.stepNanos(step), 0.02 * before);
    }
}
