package io.chorale.workload;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalLong;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** dLoRA's stand-in, traces, and clients that try again. */
class OtherWorkloadsTest {
    @TempDir
    Path folder;

    @Test
    void givesTheMostPopularAdapterItsShare() {
        for (double share : new double[] {0.15, 0.3, 0.5, 0.67, 0.9}) {
            Workload workload = new DLoraGenerator(8, share, 20, 1000, 1, new int[] {16}).draw();
            long most = IntStream.range(0, 8)
                    .mapToLong(a -> IntStream.range(0, workload.size())
                            .filter(i -> workload.adapter(i) == a)
                            .count())
                    .max()
                    .orElseThrow();
            assertEquals(share, (double) most / workload.size(), 0.02);
            assertEquals(1000, workload.lastSeconds(), 40);
            assertEquals(330, (double) workload.promptTokensSum() / workload.size(), 30);
        }
        assertThrows(IllegalArgumentException.class, () -> new DLoraGenerator(8, 0.05, 4, 100, 1, new int[] {16}));
    }

    private TraceFile trace(String text, double speed, double seconds) throws IOException {
        Path file = folder.resolve("trace");
        Files.writeString(file, text);
        return new TraceFile(file, speed, seconds, 1000, 10, 1, 1, new int[] {8});
    }

    @Test
    void readsAzuresFormat() throws IOException {
        Workload workload = trace("""
                        TIMESTAMP,ContextTokens,GeneratedTokens
                        2023-11-16 23:59:59.9799600,374,44
                        2023-11-17 00:00:04.9799600,4808,600
                        """, 2, 0).read();
        assertEquals(2, workload.size());
        assertEquals(0, workload.nanos(0));
        assertEquals(2_500_000_000L, workload.nanos(1));
        assertEquals(374, workload.promptTokens(0));
        assertEquals(44, workload.answerTokens(0));
        assertEquals(500, workload.promptTokens(1), "cut to leave room for the answer");
        assertEquals(500, workload.answerTokens(1));
        assertTrue(workload.adapter(0) >= 0 && workload.adapter(0) < 10);
    }

    @Test
    void readsMooncakesFormatAndOnlySoManySeconds() throws IOException {
        Workload workload = trace("""
                        {"timestamp": 3000, "input_length": 10, "output_length": 5, "hash_ids": [0, 1]}
                        {"timestamp": 2000, "input_length": 20, "output_length": 6, "hash_ids": [0]}
                        {"timestamp": 27000, "input_length": 30, "output_length": 7, "hash_ids": []}
                        """, 1, 20).read();
        assertEquals(2, workload.size());
        assertEquals(20, workload.promptTokens(0));
        assertEquals(1_000_000_000L, workload.nanos(1));
        assertEquals(5, workload.answerTokens(1));
    }

    private static void assertSays(String expected, TraceFile trace) {
        IllegalArgumentException refused = assertThrows(IllegalArgumentException.class, trace::read);
        assertTrue(String.valueOf(refused.getMessage()).contains(expected), refused::toString);
    }

    @Test
    void saysWhichLineItDoesNotUnderstand() throws IOException {
        assertSays(
                "line 2 is not understood: 2023-11-16 18:17:03,12",
                trace("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,12\n", 1, 0));
        assertSays("neither an Azure trace", trace("hello\n", 1, 0));
        assertSays("line 1 is not understood", trace("{\"timestamp\": 1}\n", 1, 0));
    }

    @Test
    void triesAgainAsTheOpenAiClientsDo() {
        assertEquals(OptionalLong.of(500_000_000L), RetryRule.OPENAI.delayNanos(0, 0, 0));
        assertEquals(OptionalLong.of(750_000_000L), RetryRule.OPENAI.delayNanos(1, 0, 1));
        assertEquals(OptionalLong.empty(), RetryRule.OPENAI.delayNanos(2, 1, 0));
        assertEquals(OptionalLong.of(7_000_000_000L), RetryRule.OPENAI.delayNanos(0, 7_000_000_000L, 0.5));
        assertEquals(OptionalLong.of(500_000_000L), RetryRule.OPENAI.delayNanos(0, 61_000_000_000L, 0));
        assertEquals(OptionalLong.of(8_000_000_000L), new RetryRule(9).delayNanos(8, 0, 0));
        assertEquals(OptionalLong.empty(), RetryRule.NEVER.delayNanos(0, 0, 0));
    }
}
