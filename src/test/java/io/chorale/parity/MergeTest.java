package io.chorale.parity;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.sched.StepPlan;
import io.chorale.engine.jni.EngineConfigs;
import io.chorale.engine.jni.NativeEngineConfig;
import io.chorale.parity.PlanDriver.Generation;
import io.chorale.parity.PlanDriver.Schedule;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Merged weights answer as unmerged ones do, and the base weights never notice. */
class MergeTest {
    private static final int[] PROMPT = IntStream.range(1, 40).toArray();
    private static final int CYCLES = 10_000;
    /** Of the largest magnitude: float32 sums of a few hundred terms in another order. */
    private static final double TOLERANCE = 2e-4;

    @ParameterizedTest
    @ValueSource(strings = {"llama-gqa", "llama3-scaled-tied", "qwen2-bias", "qwen3-qknorm", "mistral-window"})
    void mergedEqualsUnmerged(String name) throws Exception {
        ParityFixture fixture = ParityFixture.stored(name);
        try (EngineUnderTest under = EngineUnderTest.of(fixture.model(), "fast")) {
            Map<String, Integer> slots = ParityTest.loadAll(under, fixture);
            for (int slot : slots.values()) {
                if (slot >= 0) {
                    Generation unmerged = generate(under, slot);
                    under.driver.move(StepPlan.MOVE_MERGE, slot);
                    under.driver.mergedSlot = slot;
                    Generation merged = generate(under, slot);
                    under.driver.mergedSlot = -1;
                    under.driver.move(StepPlan.MOVE_UNMERGE, slot);
                    assertClose(unmerged.hidden.getFirst(), merged.hidden.getFirst());
                }
            }
        }
    }

    @Test
    void theBaseIsBitwiseTheSameAfterManyMerges() throws Exception {
        ParityFixture fixture = ParityFixture.bundled("mistral-window");
        NativeEngineConfig config = EngineConfigs.poisoned(NativeEngineConfig.cpu(EngineUnderTest.POOL_BYTES));
        try (EngineUnderTest under = new EngineUnderTest(fixture.model(), config)) {
            Map<String, Integer> slots = ParityTest.loadAll(under, fixture);
            Generation before = generate(under, -1);
            long digest = under.engine.weightsDigest();
            int adapters = slots.size() - 1;
            for (int cycle = 0; cycle < CYCLES; cycle++) {
                under.driver.move(StepPlan.MOVE_MERGE, cycle % adapters);
                under.driver.move(StepPlan.MOVE_UNMERGE, cycle % adapters);
            }
            Generation after = generate(under, -1);
            assertEquals(digest, under.engine.weightsDigest());
            assertEquals(before.ids, after.ids);
            for (int i = 0; i < before.ids.size(); i++) {
                assertArrayEquals(before.hidden.get(i), after.hidden.get(i));
                assertArrayEquals(before.logProbs.get(i), after.logProbs.get(i));
            }
        }
    }

    private static Generation generate(EngineUnderTest under, int slot) {
        Generation generation = new Generation(PROMPT, slot);
        under.driver.run(List.of(generation), 8, Schedule.WHOLE);
        return generation;
    }

    private static void assertClose(float[] expected, float[] actual) {
        double largest = 0;
        for (float value : expected) {
            largest = Math.max(largest, Math.abs(value));
        }
        for (int i = 0; i < expected.length; i++) {
            String message = "hidden " + i + " is " + actual[i] + " merged, " + expected[i] + " unmerged";
            assertTrue(Math.abs(expected[i] - actual[i]) <= TOLERANCE * largest, message);
        }
    }
}
