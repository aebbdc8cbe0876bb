package io.chorale.parity;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.memory.PrefixCaching;
import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.LoadSnapshot;
import io.chorale.core.model.Priority;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.core.model.SequenceEvent;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.engine.StagedAdapter;
import io.chorale.engine.jni.EngineConfigs;
import io.chorale.engine.jni.NativeEngineConfig;
import io.chorale.parity.OddModelsTest.Odd;
import io.chorale.parity.SchedulerDriver.Answer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Answers on the real engine with pages that were computed for others, compared to the bit with those that computed
 * everything themselves: every token, and the log-probability of each.
 */
class PrefixParityTest {
    private static final PrefixCaching ON = new PrefixCaching(true, 99);
    private static final Path FABLE = Path.of("models", "fable");
    private static final String[] ADAPTERS = {"pirate", "shout", "moral"};

    @TempDir
    Path folder;

    /** The same requests, turn by turn, on a server of their own with or without a cache. */
    private static final class World implements AutoCloseable {
        final EngineUnderTest under;
        final SchedulerDriver driver;

        World(NativeEngineConfig config, PrefixCaching caching, int versions) throws Exception {
            under = new EngineUnderTest(FABLE.resolve("model"), config);
            driver = new SchedulerDriver(under.engine, 48, 32, SchedulerPolicies.PLAIN, true, caching);
            for (int version = 1; version <= versions; version++) {
                String name = ADAPTERS[version % ADAPTERS.length];
                StagedAdapter staged = under.stage(FABLE.resolve("adapters").resolve(name));
                driver.scheduler.adapterReady(version, staged.handle(), staged.pages());
            }
        }

        LoadSnapshot load() {
            return driver.scheduler.snapshot();
        }

        @Override
        public void close() {
            under.close();
        }
    }

    private static RequestSpec request(long id, AdapterSet adapters, int[] prompt, int tokens, int activeFrom) {
        SamplingParams sampling = new SamplingParams(
                id % 2 == 0 ? 0 : 1, 0, 1, 0, 1, 0, 0, id, tokens, 0, new int[0], 0, new int[0], new float[0]);
        return new RequestSpec(id, 0, adapters, prompt, sampling, 0, 0, 0, Priority.NORMAL, activeFrom);
    }

    private static int[] words(SplittableRandom random, int count) {
        return IntStream.range(0, count).map(i -> 10 + random.nextInt(400)).toArray();
    }

    private static int[] then(int[] first, int... second) {
        return IntStream.concat(IntStream.of(first), IntStream.of(second)).toArray();
    }

    private static void assertSame(SchedulerDriver expected, SchedulerDriver got) {
        expected.answers.forEach((id, answer) -> {
            Answer other = got.answer(id);
            assertEquals(answer.ids, other.ids, "request " + id);
            assertEquals(answer.logProbs, other.logProbs, "request " + id);
        });
    }

    /** Several people talk with several adapters, each turn with all that was said before. */
    @ParameterizedTest
    @ValueSource(strings = {"reference", "fast"})
    void conversationsAreBitwiseTheSame(String mode) throws Exception {
        NativeEngineConfig config = EngineConfigs.inMode(mode, NativeEngineConfig.cpu(EngineUnderTest.POOL_BYTES));
        try (World plain = new World(config, PrefixCaching.OFF, 3);
                World cached = new World(config, ON, 3)) {
            long turns = 0;
            for (World world : List.of(plain, cached)) {
                SplittableRandom random = new SplittableRandom(5);
                int[] system = words(random, 40);
                int[][] said = new int[6][];
                Arrays.fill(said, system);
                for (int turn = 0; turn < 4; turn++) {
                    for (int person = 0; person < said.length; person++) {
                        said[person] = then(said[person], words(random, 3 + random.nextInt(12)));
                        AdapterSet set = person % 3 == 0 ? AdapterSet.BASE : AdapterSet.of(1 + person % 3);
                        world.driver.submit(request(10L * turn + person, set, said[person], 9, 0));
                        turns++;
                    }
                    world.driver.runAll();
                    for (int person = 0; person < said.length; person++) {
                        Answer answer = world.driver.answer(10L * turn + person);
                        assertInstanceOf(SequenceEvent.Finished.class, answer.end);
                        said[person] = then(
                                said[person],
                                answer.ids.stream().mapToInt(Integer::intValue).toArray());
                    }
                }
            }
            assertEquals(48, turns);
            assertSame(plain.driver, cached.driver);
            long found = cached.load().prefixes().tokensFound();
            assertTrue(
                    found > plain.load().rows() / 3,
                    found + " tokens found of " + plain.load().rows());
            assertEquals(plain.load().rows() - found, cached.load().rows(), "what was found was not computed");
        }
    }

    /** One document, a hundred activated adapters: what comes before the invocation is computed once for all of them. */
    @Test
    void aDocumentIsComputedOnceForAHundredActivatedAdapters() throws Exception {
        int adapters = 100;
        NativeEngineConfig config = NativeEngineConfig.cpu(256L << 20);
        try (World plain = new World(config, PrefixCaching.OFF, adapters);
                World cached = new World(config, ON, adapters)) {
            int[] document = words(new SplittableRandom(8), 321);
            int[] invocation = {17, 23, 5};
            for (World world : List.of(plain, cached)) {
                for (int version = 1; version <= adapters; version++) {
                    int[] prompt = then(then(document, invocation), 30 + version);
                    world.driver.submit(request(version, AdapterSet.of(version), prompt, 4, document.length));
                    if (version == 1) {
                        world.driver.runAll();
                    }
                }
                world.driver.runAll();
            }
            assertSame(plain.driver, cached.driver);
            int pageTokens = cached.under.engine.spec().pageTokens();
            long shared = (adapters - 1L) * (document.length / pageTokens * pageTokens);
            assertEquals(shared, cached.load().prefixes().tokensFound());
            assertEquals(plain.load().rows() - shared, cached.load().rows());
            assertTrue(
                    cached.load().rows() < plain.load().rows() / 10,
                    cached.load().rows() + " rows");
        }
    }

    /** Cancels, evictions and preemptions in a pool that is too small for all. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void stormsAreBitwiseTheSame(long seed) throws Exception {
        SplittableRandom random = new SplittableRandom(seed);
        int[][] documents = {words(random, 230), words(random, 150), words(random, 70)};
        List<RequestSpec> requests = new ArrayList<>();
        for (int id = 0; id < 80; id++) {
            int[] document = documents[random.nextInt(documents.length)];
            int cut = 1 + random.nextInt(document.length);
            int[] prompt = then(Arrays.copyOf(document, cut), words(random, 1 + random.nextInt(9)));
            int version = random.nextInt(4);
            AdapterSet set = version == 0 ? AdapterSet.BASE : AdapterSet.of(version);
            int from = version > 0 && random.nextBoolean() ? cut : 0;
            requests.add(request(id, set, prompt, 80 + random.nextInt(120), from));
        }
        try (World plain = new World(NativeEngineConfig.cpu(EngineUnderTest.POOL_BYTES), PrefixCaching.OFF, 3);
                World cached = new World(tight(plain), ON, 3)) {
            requests.forEach(plain.driver::submit);
            plain.driver.runAll();
            for (RequestSpec spec : requests) {
                cached.driver.submit(spec);
                for (int i = random.nextInt(4); i > 0; i--) {
                    cached.driver.cycle();
                }
                if (random.nextInt(6) == 0) {
                    cached.driver.scheduler.cancel(random.nextLong(spec.id() + 1));
                }
            }
            cached.driver.runAll();
            for (RequestSpec spec : requests) {
                Answer got = cached.driver.answer(spec.id());
                Answer expected = plain.driver.answer(spec.id());
                assertEquals(expected.ids.subList(0, got.ids.size()), got.ids, "request " + spec.id());
                assertEquals(expected.logProbs.subList(0, got.ids.size()), got.logProbs, "request " + spec.id());
            }
            LoadSnapshot load = cached.load();
            String all = load.preemptions() + " preemptions, " + load.prefixes();
            assertTrue(load.prefixes().tokensFound() > 1_000 && load.prefixes().pagesEvicted() > 20, all);
            assertTrue(load.preemptions() > 0, all);
            assertEquals(0, load.pagesKv());
        }
    }

    /** A pool for the adapters and the longest two or three requests. */
    private static NativeEngineConfig tight(World world) throws Exception {
        int pages = 7;
        for (String adapter : ADAPTERS) {
            pages += world.under
                    .stage(FABLE.resolve("adapters").resolve(adapter))
                    .pages();
        }
        return EngineConfigs.poisoned(
                NativeEngineConfig.cpu(pages * world.under.engine.spec().pageBytes()));
    }

    /** Rows before the first that an adapter acts on are the base's, wherever in a page or chunk that is. */
    @ParameterizedTest(name = "{0}")
    @MethodSource("io.chorale.parity.OddModelsTest#models")
    void activatedAdaptersAgreeWithTheOracle(Odd odd) throws Exception {
        OddModel model = odd.model();
        try (EngineUnderTest under = EngineUnderTest.of(model.write(folder), "reference")) {
            SchedulerDriver driver = new SchedulerDriver(under.engine, 11, 16, SchedulerPolicies.PLAIN, true, ON);
            for (int i = 0; i < odd.adapters().size(); i++) {
                StagedAdapter staged = under.stage(odd.adapters().get(i).write(folder));
                driver.scheduler.adapterReady(i, staged.handle(), staged.pages());
            }
            int[] prompt = OddModelsTest.prompt(model, 41);
            int[] starts = {1, 16, 17, 32, 40};
            for (int id = 0; id < starts.length * odd.adapters().size(); id++) {
                AdapterSet set = AdapterSet.of(id / starts.length);
                driver.submit(request(2L * id, set, prompt, 4, starts[id % starts.length]));
            }
            driver.runAll();
            for (int id = 0; id < starts.length * odd.adapters().size(); id++) {
                OracleDecoder oracle = new OracleDecoder(model, null, odd.frequencies(), odd.magnitude());
                oracle.addFrom(odd.adapters().get(id / starts.length), starts[id % starts.length]);
                int[] tokens = prompt;
                for (int drawn : driver.answer(2L * id).ids) {
                    double[] logits = oracle.logits(tokens);
                    double best = Arrays.stream(logits).max().orElseThrow();
                    assertTrue(logits[drawn] >= best - 2e-4 * Math.abs(best), "request " + id + " drew " + drawn);
                    tokens = then(tokens, drawn);
                }
                assertEquals(prompt.length + 4, tokens.length);
            }
        }
    }
}
