package io.chorale.parity;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.engine.StagedAdapter;
import io.chorale.engine.jni.EngineConfigs;
import io.chorale.engine.jni.NativeEngineConfig;
import io.chorale.parity.PlanDriver.Generation;
import io.chorale.parity.PlanDriver.Schedule;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/**
 * KV cache and adapters live in one pool of equal pages, and adapters are read there and nowhere else: their host image is
 * poisoned after the upload, then their pages, and pages are handed out in any order.
 */
class OnePoolTest {
    private static final int[] PROMPT = IntStream.range(1, 60).toArray();
    private static final int TOKENS = 12;

    private final Path adapter;
    private final Path model;

    OnePoolTest() throws Exception {
        ParityFixture fixture = ParityFixture.bundled("llama-gqa");
        model = fixture.model();
        adapter = fixture.adapter("all-r8");
    }

    @Test
    void afterTheUploadTheHostImageIsNotRead() throws Exception {
        try (EngineUnderTest under = engine(EngineUnderTest.POOL_BYTES)) {
            StagedAdapter staged = under.stage(adapter);
            int slot = under.driver.load(staged);
            Generation before = generate(under, slot);
            under.engine.poisonHost(staged);
            assertSame(before, generate(under, slot));
        }
    }

    @Test
    void poisonedPagesAreNoticedAndOnlyByTheirReaders() throws Exception {
        try (EngineUnderTest under = engine(EngineUnderTest.POOL_BYTES)) {
            int slot = under.load(adapter);
            int[] pages = under.driver.pagesOf(slot);
            generate(under, slot);
            Generation baseBefore = generate(under, -1);
            under.engine.poisonPages(pages);
            AssertionError seen = assertThrows(AssertionError.class, () -> generate(under, slot));
            assertTrue(String.valueOf(seen.getMessage()).contains("NaN"), seen.getMessage());
            assertSame(baseBefore, generate(under, -1));
        }
    }

    @Test
    void theOrderOfPagesDoesNotMatter() throws Exception {
        List<Generation> all = new ArrayList<>();
        for (long seed : new long[] {0, 17, 4711}) {
            try (EngineUnderTest under = engine(EngineUnderTest.POOL_BYTES)) {
                if (seed != 0) {
                    under.driver.shufflePages(new Random(seed));
                }
                all.add(generate(under, under.load(adapter)));
            }
        }
        assertSame(all.get(0), all.get(1));
        assertSame(all.get(0), all.get(2));
    }

    /** In a pool split in halves neither the adapters nor, later, the KV cache would fit. */
    @Test
    void kvCacheAndAdaptersTakeEachOthersPages() throws Exception {
        long pageBytes;
        int adapterPages;
        try (EngineUnderTest probe = engine(EngineUnderTest.POOL_BYTES)) {
            pageBytes = probe.engine.spec().pageBytes();
            adapterPages = probe.stage(adapter).pages();
        }
        int adapters = 6;
        int pages = adapters * adapterPages + 6;
        try (EngineUnderTest under = engine(pages * pageBytes)) {
            assertEquals(pages, under.engine.spec().pageCount());
            Generation first = generate(under, under.load(adapter));
            for (int i = 1; i < adapters; i++) {
                assertSame(first, generate(under, under.load(adapter)));
            }
            assertTrue(adapters * adapterPages > pages / 2, "the adapters take more than half of the pool");
            under.driver.dropAll();
            int pageTokens = under.engine.spec().pageTokens();
            int tokens = (pages / 2 + 1) * pageTokens;
            assertTrue(tokens <= under.engine.spec().contextMax() * 2, "two sequences reach half of the pool");
            int[] prompt = IntStream.range(0, tokens / 2).map(i -> i % 384).toArray();
            List<Generation> both = new ArrayList<>();
            for (int i = 0; i < 2; i++) {
                both.add(new Generation(prompt, -1));
            }
            under.driver.advance(both, 2, Schedule.WHOLE);
            assertTrue(pages - under.driver.freePages() > pages / 2, "the KV cache takes more than half of the pool");
            assertEquals(both.get(0).ids, both.get(1).ids);
        }
    }

    private EngineUnderTest engine(long poolBytes) throws Exception {
        return new EngineUnderTest(model, EngineConfigs.poisoned(NativeEngineConfig.cpu(poolBytes)));
    }

    private static Generation generate(EngineUnderTest under, int slot) {
        Generation generation = new Generation(PROMPT, slot);
        under.driver.run(List.of(generation), TOKENS, new Schedule(16, false));
        return generation;
    }

    private static void assertSame(Generation expected, Generation actual) {
        assertEquals(expected.ids, actual.ids);
        for (int i = 0; i < expected.ids.size(); i++) {
            assertArrayEquals(expected.hidden.get(i), actual.hidden.get(i));
            assertArrayEquals(expected.logProbs.get(i), actual.logProbs.get(i));
        }
    }
}
