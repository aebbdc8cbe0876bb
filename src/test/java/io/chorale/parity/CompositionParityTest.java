package io.chorale.parity;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.engine.StagedAdapter;
import io.chorale.engine.jni.EngineConfigs;
import io.chorale.engine.jni.NativeEngineConfig;
import io.chorale.parity.OddModelsTest.Odd;
import io.chorale.parity.PlanDriver.Generation;
import io.chorale.parity.PlanDriver.Schedule;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Several adapters at once, each with a factor: what comes out is the base model plus the sum of what they add. */
class CompositionParityTest {
    private static final int TOKENS = 6;
    private static final Odd ODD = OddModelsTest.models().toList().getFirst();

    /** By adapter of {@link #ODD}; 0: not in it. Ranks of one to 110 at one site, and factors below zero. */
    private static final float[][] FACTORS = {
        {0.7f, 0.5f, 0, 0}, {0, 0, 0.3f, -0.25f}, {1, 1, 1, 1}, {0, 2, 0, 0}, {0.1f, 0, 0, 1.5f},
    };

    @TempDir
    Path folder;

    @ParameterizedTest
    @ValueSource(strings = {"reference", "fast"})
    void theSumOfAllDeltasAnswers(String mode) throws Exception {
        OddModel model = ODD.model();
        try (EngineUnderTest under = EngineUnderTest.of(model.write(folder), mode)) {
            int[] slots = new int[ODD.adapters().size()];
            for (int i = 0; i < slots.length; i++) {
                slots[i] = under.load(ODD.adapters().get(i).write(folder));
            }
            double[][] head = OddModelsTest.head(model);
            List<Generation> together = new ArrayList<>();
            for (float[] factors : FACTORS) {
                together.add(generation(OddModelsTest.prompt(model, 13 + 3 * together.size()), slots, factors));
            }
            under.driver.run(together, TOKENS, new Schedule(9, true));
            for (int i = 0; i < together.size(); i++) {
                check(together.get(i), FACTORS[i], head);
            }
            for (int i = 0; i < together.size(); i++) {
                Generation alone = generation(together.get(i).prompt, slots, FACTORS[i]);
                under.driver.run(List.of(alone), TOKENS, Schedule.WHOLE);
                assertEquals(together.get(i).ids, alone.ids);
                for (int step = 0; step < TOKENS; step++) {
                    assertArrayEquals(together.get(i).hidden.get(step), alone.hidden.get(step));
                }
            }
        }
    }

    /** In a pool that holds one composition at a time and little more, with requests of its parts beside it. */
    @Test
    void theSchedulerServesThemInACrowd() throws Exception {
        OddModel model = ODD.model();
        Path written = model.write(folder);
        List<Path> adapters = new ArrayList<>();
        for (OddAdapter adapter : ODD.adapters()) {
            adapters.add(adapter.write(folder));
        }
        int pages;
        long pageBytes;
        try (EngineUnderTest roomy = EngineUnderTest.of(written, "fast")) {
            pages = 4;
            for (Path adapter : adapters) {
                pages += roomy.stage(adapter).pages();
            }
            pageBytes = roomy.engine.spec().pageBytes();
        }
        NativeEngineConfig tight = EngineConfigs.poisoned(NativeEngineConfig.cpu(pages * pageBytes));
        try (EngineUnderTest under = new EngineUnderTest(written, tight)) {
            SchedulerDriver driver = new SchedulerDriver(under.engine, 16, 8, SchedulerPolicies.PLAIN, true);
            List<float[]> asked = new ArrayList<>();
            for (int id = 0; id < 20; id++) {
                asked.add(FACTORS[id % FACTORS.length]);
                driver.submit(spec(id, OddModelsTest.prompt(model, 5 + id), asked.get(id)));
            }
            for (int i = 0; i < adapters.size(); i++) {
                StagedAdapter staged = under.stage(adapters.get(i));
                driver.scheduler.adapterReady(i, staged.handle(), staged.pages());
            }
            driver.runAll();
            for (int id = 0; id < asked.size(); id++) {
                SchedulerDriver.Answer answer = driver.answer(id);
                assertInstanceOf(SequenceEvent.Finished.class, answer.end);
                int[] prompt = OddModelsTest.prompt(model, 5 + id);
                checkIds("request " + id, prompt, answer.ids, asked.get(id));
            }
        }
    }

    private static Generation generation(int[] prompt, int[] slots, float[] factors) {
        int[] used = IntStream.range(0, slots.length)
                .filter(i -> factors[i] != 0)
                .map(i -> slots[i])
                .toArray();
        return new Generation(prompt, used, nonZero(factors));
    }

    private static RequestSpec spec(long id, int[] prompt, float[] factors) {
        int[] versions =
                IntStream.range(0, factors.length).filter(i -> factors[i] != 0).toArray();
        AdapterSet set = new AdapterSet(versions, nonZero(factors));
        return new RequestSpec(id, 0, set, prompt, SamplingParams.greedy(TOKENS), 0, 0, 0);
    }

    private static float[] nonZero(float[] factors) {
        float[] left = new float[factors.length];
        int count = 0;
        for (float factor : factors) {
            if (factor != 0) {
                left[count++] = factor;
            }
        }
        return Arrays.copyOf(left, count);
    }

    private static OracleDecoder oracle(float[] factors) {
        OracleDecoder oracle = new OracleDecoder(ODD.model(), null, ODD.frequencies(), ODD.magnitude());
        for (int i = 0; i < factors.length; i++) {
            oracle.add(ODD.adapters().get(i), factors[i]);
        }
        return oracle;
    }

    private static void check(Generation got, float[] factors, double[][] head) {
        OracleDecoder oracle = oracle(factors);
        int[] tokens = got.prompt;
        for (int step = 0; step < TOKENS; step++) {
            String which = Arrays.toString(factors) + ", token " + step;
            ParityTest.checkLogits(which, oracle.logits(tokens), got.hidden.get(step), head);
            tokens = Arrays.copyOf(tokens, tokens.length + 1);
            tokens[tokens.length - 1] = got.ids.get(step);
        }
        checkIds(Arrays.toString(factors), got.prompt, got.ids, factors);
    }

    private static void checkIds(String which, int[] prompt, List<Integer> ids, float[] factors) {
        OracleDecoder oracle = oracle(factors);
        int[] tokens = prompt;
        assertEquals(TOKENS, ids.size(), which);
        for (int id : ids) {
            double[] logits = oracle.logits(tokens);
            double best = Arrays.stream(logits).max().orElseThrow();
            assertFalse(Double.isNaN(best), which);
            assertTrue(logits[id] >= best - 2e-4 * Math.abs(best), which + " drew " + id + ", not the best");
            tokens = Arrays.copyOf(tokens, tokens.length + 1);
            tokens[tokens.length - 1] = id;
        }
    }
}
