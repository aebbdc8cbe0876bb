package io.chorale.parity;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.parity.ParityFixture.Case;
import io.chorale.parity.PlanDriver.Generation;
import io.chorale.parity.PlanDriver.Schedule;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The stored answers of five models, in every company and schedule that must not change them. */
class ParityTest {
    private static final double LOGIT_TOLERANCE = 2e-4;
    private static final double MARGIN_LEAST = 1e-3;

    static Stream<Arguments> modelsAndModes() {
        return ParityFixture.STORED.stream()
                .flatMap(model -> Stream.of(Arguments.of(model, "reference"), Arguments.of(model, "fast")));
    }

    @ParameterizedTest
    @MethodSource("modelsAndModes")
    void eachPromptAloneGivesTheStoredLogitsAndIds(String name, String mode) throws Exception {
        ParityFixture fixture = ParityFixture.stored(name);
        try (EngineUnderTest under = EngineUnderTest.of(fixture.model(), mode)) {
            Map<String, Integer> slots = loadAll(under, fixture);
            double[][] head = head(fixture.model(), under);
            for (Case expected : fixture.cases()) {
                Generation got = generation(expected, slots);
                under.driver.run(List.of(got), expected.ids().length, Schedule.WHOLE);
                checkIds(expected, got);
                checkLogits(expected + ", first", expected.firstLogits(), got.hidden.getFirst(), head);
                if (expected.margin() >= MARGIN_LEAST) {
                    checkLogits(expected + ", last", expected.lastLogits(), got.hidden.getLast(), head);
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("modelsAndModes")
    void allTogetherGiveBitwiseWhatEachGivesAlone(String name, String mode) throws Exception {
        ParityFixture fixture = ParityFixture.stored(name);
        try (EngineUnderTest under = EngineUnderTest.of(fixture.model(), mode)) {
            Map<String, Integer> slots = loadAll(under, fixture);
            List<Generation> alone = generations(fixture, slots);
            for (Generation generation : alone) {
                under.driver.run(List.of(generation), 24, Schedule.WHOLE);
            }
            List<Generation> together = generations(fixture, slots);
            under.driver.run(together, 24, Schedule.WHOLE);
            for (int i = 0; i < alone.size(); i++) {
                String which = fixture.cases().get(i).toString();
                assertEquals(alone.get(i).ids, together.get(i).ids, which);
                for (int step = 0; step < 24; step++) {
                    assertArrayEquals(
                            alone.get(i).logProbs.get(step),
                            together.get(i).logProbs.get(step),
                            which + ", " + step);
                    assertArrayEquals(
                            alone.get(i).hidden.get(step),
                            together.get(i).hidden.get(step),
                            which + ", " + step);
                }
            }
        }
    }

    static Stream<Arguments> schedules() {
        return modelsAndModes()
                .flatMap(model -> Stream.of(1, 7, 16, Integer.MAX_VALUE)
                        .flatMap(chunk -> Stream.of(false, true)
                                .map(overlapped -> Arguments.of(
                                        model.get()[0], model.get()[1], new Schedule(chunk, overlapped)))));
    }

    @ParameterizedTest
    @MethodSource("schedules")
    void chunksAndLoopsDoNotChangeTheIds(String name, String mode, Schedule schedule) throws Exception {
        ParityFixture fixture = ParityFixture.stored(name);
        try (EngineUnderTest under = EngineUnderTest.of(fixture.model(), mode)) {
            List<Generation> got = generations(fixture, loadAll(under, fixture));
            under.driver.run(got, 24, schedule);
            for (int i = 0; i < got.size(); i++) {
                checkIds(fixture.cases().get(i), got.get(i));
            }
        }
    }

    @ParameterizedTest
    @MethodSource("modelsAndModes")
    void preemptedSequencesGoOnAsIfNothingHadHappened(String name, String mode) throws Exception {
        ParityFixture fixture = ParityFixture.stored(name);
        try (EngineUnderTest under = EngineUnderTest.of(fixture.model(), mode)) {
            List<Generation> got = generations(fixture, loadAll(under, fixture));
            under.driver.advance(got, 9, Schedule.WHOLE);
            got.forEach(under.driver::preempt);
            under.driver.run(got, 24, new Schedule(16, true));
            for (int i = 0; i < got.size(); i++) {
                checkIds(fixture.cases().get(i), got.get(i));
            }
        }
    }

    static Map<String, Integer> loadAll(EngineUnderTest under, ParityFixture fixture) throws Exception {
        Map<String, Integer> slots = new LinkedHashMap<>(Map.of("", -1));
        for (Case one : fixture.cases()) {
            if (!slots.containsKey(one.adapter())) {
                slots.put(one.adapter(), under.load(fixture.adapter(one.adapter())));
            }
        }
        return slots;
    }

    static List<Generation> generations(ParityFixture fixture, Map<String, Integer> slots) {
        List<Generation> generations = new ArrayList<>();
        fixture.cases().forEach(one -> generations.add(generation(one, slots)));
        return generations;
    }

    private static Generation generation(Case one, Map<String, Integer> slots) {
        return new Generation(one.prompt(), slots.getOrDefault(one.adapter(), -1));
    }

    static void checkIds(Case expected, Generation got) {
        if (expected.margin() >= MARGIN_LEAST) {
            assertArrayEquals(
                    expected.ids(), got.ids.stream().mapToInt(Integer::intValue).toArray(), expected.toString());
        }
    }

    /** The head as rows, in double: it turns the hidden states that the engine returns into logits. */
    static double[][] head(Path model, EngineUnderTest under) throws Exception {
        Path file = model.resolve("model.safetensors");
        String tensor = TensorReader.has(file, "lm_head.weight") ? "lm_head.weight" : "model.embed_tokens.weight";
        float[] flat = TensorReader.read(file, tensor);
        int hidden = under.engine.spec().hidden();
        double[][] rows = new double[under.engine.spec().vocab()][hidden];
        for (int v = 0; v < rows.length; v++) {
            for (int i = 0; i < hidden; i++) {
                rows[v][i] = flat[v * hidden + i];
            }
        }
        return rows;
    }

    static void checkLogits(String which, double[] expected, float[] hidden, double[][] head) {
        double largest = 0;
        for (double logit : expected) {
            largest = Math.max(largest, Math.abs(logit));
        }
        for (int v = 0; v < expected.length; v++) {
            double logit = 0;
            for (int i = 0; i < hidden.length; i++) {
                logit += head[v][i] * hidden[i];
            }
            double error = Math.abs(logit - expected[v]);
            double allowed = LOGIT_TOLERANCE * largest;
            String message = which + ": logit " + v + " is " + logit + ", expected " + expected[v];
            assertTrue(error <= allowed, message);
        }
    }
}
