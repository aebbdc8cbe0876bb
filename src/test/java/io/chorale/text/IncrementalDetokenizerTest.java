package io.chorale.text;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

class IncrementalDetokenizerTest {
    static final List<String> MODELS = IntStream.rangeClosed(0, NpmTokenizers.ALL.size())
            .mapToObj(i -> i == 0 ? "fable" : NpmTokenizers.ALL.get(i - 1))
            .toList();

    private static final List<String> TEXTS = List.of(
            "Once upon a time, there was a fox named Kit.  Two spaces, then\n\n a new  paragraph.",
            "😀👩‍👩‍👧🏳️‍🌈🤦🏽‍♂️ e\u0301 ﬁ ½ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
            "你好，世界。こんにちは 안녕하세요 ትግርኛ தமிழ் ᚠᛇᚻ",
            " leading space\r\n\ttab",
            "a \uFFFD b \uFFFD\uFFFD",
            "\uFFFD",
            "");

    private static TextModel load(String name) throws IOException {
        return name.equals("fable")
                ? TextModel.load(Path.of("models/fable/model")).orElseThrow()
                : NpmTokenizers.load(name);
    }

    private static List<String> pieces(TextModel model, int[] ids, boolean skip) {
        IncrementalDetokenizer detokenizer = model.newDetokenizer(skip);
        List<String> pieces = new ArrayList<>();
        for (int id : ids) {
            pieces.add(detokenizer.push(id));
        }
        pieces.add(detokenizer.finish());
        assertEquals("", detokenizer.finish());
        return pieces;
    }

    private static void assertJoins(TextModel model, int[] ids, boolean skip) {
        assertEquals(
                model.tokenizer().decode(ids, skip),
                String.join("", pieces(model, ids, skip)),
                () -> java.util.Arrays.toString(ids));
    }

    @ParameterizedTest
    @FieldSource("MODELS")
    void piecesOfTextsAreWholeCharacters(String name) throws IOException {
        TextModel model = load(name);
        for (String text : TEXTS) {
            int[] ids = model.tokenizer().encode(text, false);
            assertJoins(model, ids, true);
            boolean hasReplacement = text.contains("\uFFFD");
            for (String piece : pieces(model, ids, true)) {
                assertTrue(hasReplacement || !piece.contains("\uFFFD"), piece);
                assertFalse(!piece.isEmpty() && Character.isHighSurrogate(piece.charAt(piece.length() - 1)), piece);
                assertFalse(!piece.isEmpty() && Character.isLowSurrogate(piece.charAt(0)), piece);
            }
        }
    }

    @ParameterizedTest
    @FieldSource("MODELS")
    void piecesOfRandomTokensJoinToTheirText(String name) throws IOException {
        TextModel model = load(name);
        int size = model.tokenizer().vocabularySize();
        List<Integer> special = new ArrayList<>();
        List<Integer> bytes = new ArrayList<>();
        // Tokens that are not whole characters by themselves, or single bytes, are what makes it hard.
        List<Integer> partial = new ArrayList<>();
        for (int id = 0; id < size; id++) {
            if (model.tokenizer().isSpecial(id)) {
                special.add(id);
            }
            if (model.tokenizer().isByte(id)) {
                bytes.add(id);
            }
            if (partial.size() < 400
                    && model.tokenizer().decode(new int[] {id}, false).contains("\uFFFD")) {
                partial.add(id);
            }
        }
        assertTrue(special.size() >= 3 && partial.size() >= 100);
        Random random = new Random(20261121);
        for (int i = 0; i < 300; i++) {
            int mode = i % 3;
            int[] ids = IntStream.range(0, 1 + random.nextInt(120))
                    .map(j -> {
                        List<Integer> odd = bytes.isEmpty() || random.nextBoolean() ? partial : bytes;
                        return switch (random.nextInt(8)) {
                            case 0 -> special.get(random.nextInt(special.size()));
                            case 1, 2, 3 -> mode == 0 ? random.nextInt(size) : odd.get(random.nextInt(odd.size()));
                            default -> mode == 2 ? odd.get(random.nextInt(odd.size())) : random.nextInt(size + 10);
                        };
                    })
                    .toArray();
            if (longestByteRun(model, ids) < IncrementalDetokenizer.BYTE_RUN_MAX) {
                assertJoins(model, ids, true);
                assertJoins(model, ids, false);
            }
        }
    }

    private static int longestByteRun(TextModel model, int[] ids) {
        int longest = 0;
        int run = 0;
        for (int id : ids) {
            // Special tokens, when skipped, do not end a run.
            run = model.tokenizer().isByte(id) ? run + 1 : model.tokenizer().isSpecial(id) ? run : 0;
            longest = Math.max(longest, run);
        }
        return longest;
    }

    /** Mistral's vocabulary has a token for each byte, and few for scripts that it was not trained on. */
    @Test
    void longRunsOfBytesDoNotWaitForTheirEnd() throws IOException {
        TextModel model = load("llama2");
        String text = "Runes: " + "ᚠᛇᚻ".repeat(200) + " end";
        int[] ids = model.tokenizer().encode(text, false);
        assertTrue(longestByteRun(model, ids) > 1000);
        List<String> pieces = pieces(model, ids, true);
        assertEquals(text, String.join("", pieces));
        assertTrue(pieces.stream().allMatch(piece -> piece.length() <= IncrementalDetokenizer.BYTE_RUN_MAX));
        assertTrue(pieces.stream().noneMatch(piece -> piece.contains("\uFFFD")));
    }

    @Test
    void keepsOrSkipsSpecialTokens() throws IOException {
        TextModel model = load("fable");
        int[] ids = {1, 4, 530, 2, 530};
        String word = model.tokenizer().decode(new int[] {530}, false);
        assertEquals(word + word, String.join("", pieces(model, ids, true)));
        assertEquals("<|begin|><|user|>" + word + "<|end|>" + word, String.join("", pieces(model, ids, false)));
    }

    @Test
    void aTextIsEmittedAsItGrows() throws IOException {
        TextModel model = load("llama2");
        int[] ids = model.tokenizer().encode("One two three", false);
        List<String> pieces = pieces(model, ids, true);
        assertEquals(List.of("One", " two", " three", ""), pieces);
    }

    /** Each token costs the decoding of a bounded window, however long the text is. */
    @Test
    void theWindowIsBounded() throws IOException {
        for (String name : List.of("fable", "llama2")) {
            TextModel model = load(name);
            int[] ids = model.tokenizer().encode("word, ".repeat(20_000), false);
            WindowRecorder recorder = new WindowRecorder(model.tokenizer());
            IncrementalDetokenizer detokenizer = new IncrementalDetokenizer(recorder, true);
            for (int id : ids) {
                detokenizer.push(id);
            }
            assertTrue(recorder.longest <= 20, name + ": " + recorder.longest);
        }
    }

    /** Remembers how many ids were decoded at once. */
    private static final class WindowRecorder implements Tokenizer {
        private final Tokenizer tokenizer;
        private int longest;

        WindowRecorder(Tokenizer tokenizer) {
            this.tokenizer = tokenizer;
        }

        @Override
        public int[] encode(String text, boolean addSpecialTokens) {
            return tokenizer.encode(text, addSpecialTokens);
        }

        @Override
        public int[] encode(RenderedPrompt prompt) {
            return tokenizer.encode(prompt);
        }

        @Override
        public String decode(int[] ids, boolean skipSpecialTokens) {
            longest = Math.max(longest, ids.length);
            return tokenizer.decode(ids, skipSpecialTokens);
        }

        @Override
        public int vocabularySize() {
            return tokenizer.vocabularySize();
        }

        @Override
        public java.util.OptionalInt idOf(String addedToken) {
            return tokenizer.idOf(addedToken);
        }

        @Override
        public boolean isSpecial(int id) {
            return tokenizer.isSpecial(id);
        }

        @Override
        public boolean isByte(int id) {
            return tokenizer.isByte(id);
        }
    }
}
