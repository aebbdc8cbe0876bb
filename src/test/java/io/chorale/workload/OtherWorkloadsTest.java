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
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

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
        assertTrue(workload.name().endsWith(", 1 requests cut to 1,000 tokens"), workload.name());
        assertTrue(workload.adapter(0) >= 0 && workload.adapter(0) < 10);
    }

    /** As it was published in 2024, as a spreadsheet saves it, and out of order. */
    @Test
    void readsAzuresLaterFormat() throws IOException {
        Workload workload = trace(
                        "\uFEFFTIMESTAMP,ContextTokens,GeneratedTokens\r\n"
                                + "2024-05-10 02:00:00.250000+02:00,20,0\r\n\r\n2024-05-10 00:00:00+00:00,10,5\r\n",
                        1,
                        0)
                .read();
        assertEquals(10, workload.promptTokens(0));
        assertEquals(250_000_000L, workload.nanos(1));
        assertEquals(1, workload.answerTokens(1), "an answer has a token");
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
        assertSays("is a folder", new TraceFile(folder, 1, 0, 1000, 10, 1, 1, new int[] {8}));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "-5, \"input_length\": 5, \"output_length\": 3",
                "1e18, \"input_length\": 5, \"output_length\": 3",
                "1e999999999, \"input_length\": 5, \"output_length\": 3",
                "NaN, \"input_length\": 5, \"output_length\": 3",
                "\"1\", \"input_length\": 5, \"output_length\": 3",
                "1.5, \"input_length\": 5.7, \"output_length\": 3",
                "1.5, \"input_length\": 5, \"output_length\": 1e3",
                "1.5, \"input_length\": -5, \"output_length\": 3",
                "1.5, \"input_length\": 99999999999999999999, \"output_length\": 3",
            })
    void takesNoNumberForAnother(String fields) throws IOException {
        assertSays("line 1 is not understood", trace("{\"timestamp\": " + fields + "}\n", 1, 0));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"2023-11-16 18:17:03,-3,44", "2023-11-16 18:17:03,3,x", "2999-01-01 00:00:00,3,4", "now,3,4"})
    void takesNoOddRowForARequest(String row) throws IOException {
        assertSays("line 2 is not understood", trace("TIMESTAMP,ContextTokens,GeneratedTokens\n" + row + "\n", 1, 0));
    }

    @Test
    void saysThatAFileIsNotText() throws IOException {
        Path file = folder.resolve("binary");
        Files.write(file, new byte[] {(byte) 0x1f, (byte) 0x8b, 8, 0});
        assertSays("is not text in UTF-8", new TraceFile(file, 1, 0, 1000, 10, 1, 1, new int[] {8}));
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
