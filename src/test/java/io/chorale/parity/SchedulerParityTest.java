package io.chorale.parity;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.DropReason;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.engine.StagedAdapter;
import io.chorale.engine.jni.EngineConfigs;
import io.chorale.engine.jni.NativeEngineConfig;
import io.chorale.parity.ParityFixture.Case;
import io.chorale.parity.SchedulerDriver.Answer;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The stored answers through the real scheduler: both loops, small chunks, and too few pages for all at once. */
class SchedulerParityTest {
    private static final int TOKENS = 24;
    private static final int LONG = 100;

    static Stream<Arguments> modelsAndLoops() {
        return ParityFixture.STORED.stream()
                .flatMap(model -> Stream.of(Arguments.of(model, false), Arguments.of(model, true)));
    }

    @ParameterizedTest(name = "{0}, overlapped {1}")
    @MethodSource("modelsAndLoops")
    void allRequestsAtOnceGiveTheStoredIds(String name, boolean overlapped) throws Exception {
        ParityFixture fixture = ParityFixture.stored(name);
        for (int chunk : new int[] {7, 512}) {
            try (EngineUnderTest under = EngineUnderTest.of(fixture.model(), "fast")) {
                SchedulerDriver driver =
                        new SchedulerDriver(under.engine, chunk, 64, SchedulerPolicies.PLAIN, overlapped);
                submitAll(fixture, under, driver, TOKENS);
                driver.runAll();
                checkAll(fixture, driver);
            }
        }
    }

    /** Answers so long that they cross pages, in a pool that holds one adapter and a few of them. */
    @ParameterizedTest(name = "{0}, overlapped {1}")
    @MethodSource("modelsAndLoops")
    void preemptionsDoNotChangeTheIds(String name, boolean overlapped) throws Exception {
        ParityFixture fixture = ParityFixture.stored(name);
        List<PlanDriver.Generation> alone;
        long pageBytes;
        int adapterPages = 0;
        try (EngineUnderTest roomy = EngineUnderTest.of(fixture.model(), "fast")) {
            pageBytes = roomy.engine.spec().pageBytes();
            for (StagedAdapter staged : stageAll(fixture, roomy).values()) {
                adapterPages = Math.max(adapterPages, staged.pages());
            }
            alone = ParityTest.generations(fixture, ParityTest.loadAll(roomy, fixture));
            for (PlanDriver.Generation generation : alone) {
                roomy.driver.run(List.of(generation), LONG, PlanDriver.Schedule.WHOLE);
            }
        }
        NativeEngineConfig config = EngineConfigs.poisoned(NativeEngineConfig.cpu((adapterPages + 8) * pageBytes));
        try (EngineUnderTest under = new EngineUnderTest(fixture.model(), config)) {
            SchedulerDriver driver = new SchedulerDriver(under.engine, 16, 64, SchedulerPolicies.PLAIN, overlapped);
            submitAll(fixture, under, driver, LONG);
            driver.runAll();
            for (int i = 0; i < alone.size(); i++) {
                assertEquals(
                        alone.get(i).ids,
                        driver.answer(i).ids,
                        fixture.cases().get(i).toString());
            }
            assertTrue(driver.scheduler.snapshot().preemptions() > 0, "nothing was preempted: the pool is too large");
        }
    }

    /** Requests that end early, are cancelled, or bring new adapters, in any order, in a pool too small for all. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void stormsNeverTouchAnothersPages(long seed) throws Exception {
        ParityFixture fixture = ParityFixture.bundled("llama-gqa");
        Random random = new Random(seed);
        NativeEngineConfig config = EngineConfigs.poisoned(NativeEngineConfig.cpu(1_200_000));
        try (EngineUnderTest under = new EngineUnderTest(fixture.model(), config)) {
            SchedulerDriver driver = new SchedulerDriver(under.engine, 11, 16, SchedulerPolicies.PLAIN, true);
            Map<String, Integer> versions = versions(fixture);
            stageAll(fixture, under)
                    .forEach((name, staged) -> driver.scheduler.adapterReady(
                            versions.getOrDefault(name, -1), staged.handle(), staged.pages()));
            Map<Long, Case> sent = new LinkedHashMap<>();
            for (long id = 0; id < 300; id++) {
                Case one = fixture.cases().get(random.nextInt(fixture.cases().size()));
                int stop = one.ids()[random.nextInt(one.ids().length)];
                sent.put(id, one);
                driver.submit(spec(id, one, versions, TOKENS, random.nextBoolean() ? new int[] {stop} : new int[0]));
                for (int i = random.nextInt(4); i > 0; i--) {
                    driver.cycle();
                }
                if (random.nextInt(6) == 0) {
                    driver.scheduler.cancel(random.nextLong(id + 1));
                }
            }
            driver.runAll();
            sent.forEach((id, one) -> checkStormed("seed " + seed + ", request " + id, one, driver.answer(id)));
        }
    }

    private static void checkStormed(String which, Case one, Answer answer) {
        int[] got = answer.ids.stream().mapToInt(Integer::intValue).toArray();
        int[] expected = Arrays.copyOf(one.ids(), got.length);
        if (answer.end instanceof SequenceEvent.Dropped dropped) {
            assertEquals(DropReason.CANCELLED, dropped.reason(), which + ": " + dropped.detail());
        } else {
            assertInstanceOf(SequenceEvent.Finished.class, answer.end, which);
        }
        if (one.margin() >= 1e-3) {
            assertArrayEquals(expected, got, which);
        }
    }

    private static Map<String, Integer> versions(ParityFixture fixture) {
        Map<String, Integer> versions = new LinkedHashMap<>();
        for (Case one : fixture.cases()) {
            if (!one.adapter().isEmpty()) {
                versions.putIfAbsent(one.adapter(), versions.size());
            }
        }
        return versions;
    }

    private static Map<String, StagedAdapter> stageAll(ParityFixture fixture, EngineUnderTest under) throws Exception {
        Map<String, StagedAdapter> staged = new LinkedHashMap<>();
        for (String name : versions(fixture).keySet()) {
            staged.put(name, under.stage(fixture.adapter(name)));
        }
        return staged;
    }

    private static RequestSpec spec(long id, Case one, Map<String, Integer> versions, int tokens, int... stops) {
        Integer version = versions.get(one.adapter());
        AdapterSet adapters = version == null ? AdapterSet.BASE : AdapterSet.of(version);
        SamplingParams sampling = SamplingParams.greedy(tokens, stops);
        return new RequestSpec(id, 0, adapters, one.prompt(), sampling, 0, 0, 0);
    }

    private static void submitAll(ParityFixture fixture, EngineUnderTest under, SchedulerDriver driver, int tokens)
            throws Exception {
        Map<String, Integer> versions = versions(fixture);
        for (int i = 0; i < fixture.cases().size(); i++) {
            driver.submit(spec(i, fixture.cases().get(i), versions, tokens));
        }
        stageAll(fixture, under)
                .forEach((name, staged) -> driver.scheduler.adapterReady(
                        versions.getOrDefault(name, -1), staged.handle(), staged.pages()));
    }

    private static void checkAll(ParityFixture fixture, SchedulerDriver driver) {
        List<Answer> answers = List.copyOf(driver.answers.values());
        for (int i = 0; i < answers.size(); i++) {
            Case one = fixture.cases().get(i);
            Answer answer = answers.get(i);
            assertInstanceOf(SequenceEvent.Finished.class, answer.end, one + ": " + answer.end);
            if (one.margin() >= 1e-3) {
                int[] got = answer.ids.stream().mapToInt(Integer::intValue).toArray();
                assertArrayEquals(one.ids(), got, one.toString());
            }
        }
    }
}
