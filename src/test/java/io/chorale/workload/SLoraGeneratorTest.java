package io.chorale.workload;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** The generator against what NumPy 2.4 draws for the same calls. */
class SLoraGeneratorTest {
    @Test
    void drawsTheWorkloadOfThePapersSecondTable() {
        Workload workload = SLoraGenerator.of(200, 1, 10, 1, 120, 64, 32, 16, 8).draw();
        assertEquals(1200, workload.size());
        assertEquals(314_805, workload.promptTokensSum());
        assertEquals(315_809, workload.answerTokensSum());
        assertEquals(124.98691596483738, workload.lastSeconds(), 1e-8);
        assertEquals(200, workload.adaptersAskedFor());
        assertArrayEquals(
                new int[] {74, 190, 146, 119, 31, 31},
                IntStream.range(0, 6).map(workload::adapter).toArray());
        assertArrayEquals(
                new int[] {388, 467, 14, 36, 402, 40},
                IntStream.range(0, 6).map(workload::promptTokens).toArray());
        assertArrayEquals(
                new int[] {268, 357, 509, 359, 15, 327},
                IntStream.range(0, 6).map(workload::answerTokens).toArray());
        assertEquals(0.05032449, workload.nanos(0) / 1e9, 1e-8);
        assertEquals(16, workload.rank(74));
    }

    private static void assertDraws(
            double alpha, double variation, long adapters, double first, double eleventh, double last) {
        Workload workload = new SLoraGenerator(200, alpha, 10, variation, 100, 8, 512, 8, 512, 7, new int[] {8}).draw();
        assertEquals(
                adapters, IntStream.range(0, 1000).mapToLong(workload::adapter).sum());
        assertEquals(258_617, workload.promptTokensSum());
        assertEquals(255_644, workload.answerTokensSum());
        assertEquals(first, workload.nanos(0) / 1e9, 2e-9);
        assertEquals(eleventh, workload.nanos(10) / 1e9, 2e-9);
        assertEquals(last, workload.lastSeconds(), 2e-9);
    }

    @Test
    void drawsSkewedAndBurstyWorkloadsBitForBit() {
        assertDraws(0.3, 4, 45_260, 3.9154946613245087, 5.84424885605404, 107.27121221966127);
        assertDraws(0.6, 2, 73_910, 0.02808739936446505, 1.821317500523363, 92.51413514244324);
    }

    @Test
    void drawsMoreRegularThanPoissonBitForBit() {
        assertDraws(1, 0.5, 98_914, 0.09169417444551752, 0.9869552468585893, 101.0334234021158);
    }

    @Test
    void asksOnlyForTheBaseModelWithoutAdapters() {
        Workload workload = SLoraGenerator.of(0, 1, 10, 1, 10, 8).draw();
        assertTrue(IntStream.range(0, workload.size()).allMatch(i -> workload.adapter(i) == Workload.BASE));
        assertEquals(0, workload.adaptersAskedFor());
    }

    @Test
    void refusesWhatCannotBeDrawnByName() {
        assertEquals(
                "alpha must be positive; 1 is uniform, 0.1 very skewed",
                assertThrows(IllegalArgumentException.class, () -> SLoraGenerator.of(1, 0, 1, 1, 1, 8))
                        .getMessage());
        assertThrows(IllegalArgumentException.class, () -> SLoraGenerator.of(1, 1, 1, 1, 1, 0));
        assertThrows(IllegalArgumentException.class, () -> SLoraGenerator.of(1, 1, 1e9, 1, 100, 8));
    }

    @Test
    void putsTwoWorkloadsTogetherByTime() {
        Workload both = SLoraGenerator.of(4, 1, 5, 1, 20, 8)
                .draw()
                .with(SLoraGenerator.of(2, 1, 50, 1, 20, 8).draw());
        assertEquals(100 + 1000, both.size());
        assertEquals(6, both.adapters());
        assertEquals(2, both.tenants());
        for (int i = 0; i < both.size(); i++) {
            assertTrue(i == 0 || both.nanos(i) >= both.nanos(i - 1));
            assertEquals(both.adapter(i) < 4 ? 0 : 1, both.tenant(i));
        }
    }
}
