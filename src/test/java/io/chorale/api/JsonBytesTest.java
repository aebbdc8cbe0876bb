package io.chorale.api;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class JsonBytesTest {
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '~',
            value = {
                "plain|\"plain\"",
                "a\"b\\c|\"a\\\"b\\\\c\"",
            })
    void shouldEscapeWhatJsonDemands(String text, String json) {
        assertEquals(json, written(text));
    }

    @Test
    void shouldEscapeControlsAndLoneSurrogates() {
        assertEquals("\"\\n\\r\\t\\u0000\\u001f\u007f\"", written("\n\r\t\0\u001f\u007f"));
        assertEquals("\"x\\ud83dy\\ude00\"", written("x\uD83Dy\uDE00"));
        assertEquals("\"\\ud83d\"", written("\uD83D"));
        assertEquals("\"\u00e9\u4e2d\uD83D\uDE00\u2028\"", written("\u00e9\u4e2d\uD83D\uDE00\u2028"));
    }

    /** Whatever is written, another library reads it back. */
    @Test
    void shouldBeReadBack() throws IOException {
        RandomGenerator random = RandomGenerator.of("L64X128MixRandom");
        ObjectMapper json = new ObjectMapper();
        for (int i = 0; i < 2_000; i++) {
            StringBuilder text = new StringBuilder();
            for (int k = random.nextInt(40); k > 0; k--) {
                int point = random.nextInt(random.nextBoolean() ? 0x100 : 0x110000);
                text.appendCodePoint(Character.isSurrogate((char) point) && point < 0x10000 ? 'x' : point);
            }
            assertEquals(
                    text.toString(), json.readTree(written(text.toString())).textValue());
        }
    }

    @Test
    void shouldWriteNumbersThatJsonKnows() {
        JsonBytes out = new JsonBytes();
        out.number(-7)
                .raw(" ")
                .logProb(-0.5f)
                .raw(" ")
                .logProb(Float.NEGATIVE_INFINITY)
                .raw(" ")
                .logProb(Float.NaN);
        assertEquals("-7 -0.5 -9999.0 null", new String(out.take(), StandardCharsets.UTF_8));
        assertEquals(0, out.take().length);
    }

    private static String written(String text) {
        return new String(new JsonBytes().string(text).take(), StandardCharsets.UTF_8);
    }
}
