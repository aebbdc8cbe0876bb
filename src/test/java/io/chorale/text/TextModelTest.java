package io.chorale.text;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.text.jinja.TemplateException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TextModelTest {
    private static final List<ChatMessage> HELLO = List.of(new ChatMessage("user", "Hello"));

    @TempDir
    Path directory;

    @BeforeEach
    void tokenizer() throws IOException {
        Files.copy(Path.of("models/fable/model/tokenizer.json"), directory.resolve("tokenizer.json"));
    }

    private void write(String file, String text) throws IOException {
        Files.writeString(directory.resolve(file), text);
    }

    private TextModel load() {
        return TextModel.load(directory).orElseThrow();
    }

    private String rendered() {
        return load().chatTemplate().render(HELLO, true, Map.of()).text();
    }

    @Test
    void withoutATokenizerThereIsNoText() throws IOException {
        Files.delete(directory.resolve("tokenizer.json"));
        write("tokenizer_config.json", "{}");
        assertEquals(Optional.empty(), TextModel.load(directory).map(model -> "model"));
    }

    @Test
    void withoutATemplateTextIsCompletedButNoChatAnswered() {
        TextModel model = load();
        assertTrue(model.encode("Hello").length > 0);
        TextException e = assertThrows(TextException.class, () -> model.promptOf(HELLO, true, Map.of()));
        assertEquals(TextException.Kind.NO_CHAT_TEMPLATE, e.kind());
    }

    @Test
    void aLongTextIsJudgedByItsBeginningAndNeverTooStrictly() throws IOException {
        TextModel model = load();
        String text = "a fox ".repeat(100_000);
        int tokens = model.encode(text).length;
        OptionalInt atLeast = model.tokensBeyond(1024, text);
        assertTrue(atLeast.isPresent());
        assertTrue(atLeast.getAsInt() > 1024 && atLeast.getAsInt() <= tokens, atLeast + " of " + tokens);
        assertEquals(OptionalInt.empty(), model.tokensBeyond(tokens, text));
        assertEquals(OptionalInt.empty(), model.tokensBeyond(1024, "a fox"), "short texts are tokenised anyway");
    }

    @Test
    void withAnUnsupportedTemplateTextIsCompletedButNoChatAnswered() throws IOException {
        write("chat_template.jinja", "a\n{% include 'b' %}");
        TextModel model = load();
        assertTrue(model.encode("Hello").length > 0);
        TemplateException e = assertThrows(TemplateException.class, () -> model.promptOf(HELLO, true, Map.of()));
        assertEquals("chat template, line 2: the statement 'include' is not supported", e.getMessage());
    }

    @Test
    void findsTheTemplateWhereverItIs() throws IOException {
        write("chat_template.json", "{\"chat_template\": \"from json\"}");
        assertEquals("from json", rendered());
        write("tokenizer_config.json", """
                {"chat_template": [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "named"}]}""");
        assertEquals("named", rendered());
        write("tokenizer_config.json", "{\"chat_template\": \"{{ messages[0].content }} from config\"}");
        assertEquals("Hello from config", rendered());
        write("chat_template.jinja", "from file\n");
        assertEquals("from file", rendered());
    }

    @Test
    void templatesKnowTheSpecialTokens() throws IOException {
        write("chat_template.jinja", "{{ bos_token }}{{ eos_token }}{{ pad_token }}{{ image_token }}{{ unk_token }}.");
        write("special_tokens_map.json", "{\"pad_token\": \"<|pad|>\", \"bos_token\": \"old\"}");
        write("tokenizer_config.json", """
                {"bos_token": {"__type": "AddedToken", "content": "<|begin|>"}, "eos_token": "<|end|>",
                 "unk_token": null, "extra_special_tokens": {"image_token": "<image>"}}""");
        assertEquals("<|begin|><|end|><|pad|><image>.", rendered());
        assertEquals(Set.of(2), load().endIds());
    }

    @Test
    void theEndsAreThoseOfTheGenerationConfigurationAndTheTokenizer() throws IOException {
        assertEquals(Set.of(), load().endIds());
        write("config.json", "{\"eos_token_id\": 7}");
        assertEquals(Set.of(7), load().endIds());
        write("generation_config.json", "{\"eos_token_id\": [5, 6]}");
        assertEquals(Set.of(5, 6), load().endIds());
        write("tokenizer_config.json", "{\"eos_token\": \"<|end|>\"}");
        assertEquals(Set.of(2, 5, 6), load().endIds());
        write("generation_config.json", "{\"eos_token_id\": null}");
        assertEquals(Set.of(2, 7), load().endIds());
    }

    @Test
    void someTokenizerClassesFrameATextByFlags() throws IOException {
        String tokens = "\"bos_token\": \"<|begin|>\", \"eos_token\": \"<|end|>\"";
        int[] bare = load().encode("Hello");
        write("tokenizer_config.json", "{\"tokenizer_class\": \"LlamaTokenizerFast\", " + tokens + "}");
        int[] framed = load().encode("Hello");
        assertEquals(1, framed[0]);
        assertEquals(bare.length + 1, framed.length);
        write(
                "tokenizer_config.json",
                "{\"tokenizer_class\": \"GemmaTokenizer\", \"add_bos_token\": false, \"add_eos_token\": true, " + tokens
                        + "}");
        framed = load().encode("Hello");
        assertEquals(2, framed[framed.length - 1]);
        assertEquals(bare.length + 1, framed.length);
        write("tokenizer_config.json", "{\"tokenizer_class\": \"PreTrainedTokenizerFast\", \"add_bos_token\": true}");
        assertArrayEquals(bare, load().encode("Hello"));
    }

    @Test
    void malformedFilesAreNamed() throws IOException {
        String tokenizer = Files.readString(directory.resolve("tokenizer.json"));
        for (String malformed : List.of(
                "",
                "[]",
                "{",
                "{}",
                "null",
                "\u0000",
                tokenizer.substring(0, tokenizer.length() / 2),
                tokenizer.replaceFirst("\"id\": 0", "\"id\": \"zero\""),
                tokenizer.replaceFirst("\"id\": 0", "\"id\": -1"),
                tokenizer.replaceFirst("\"type\": \"BPE\"", "\"type\": \"NOPE\""),
                tokenizer.replaceFirst("\"vocab\": \\{", "\"vocab\": {\"x\": 1.5e300, "))) {
            write("tokenizer.json", malformed);
            TextException e = assertThrows(TextException.class, this::load);
            assertEquals(TextException.Kind.MALFORMED_FILE, e.kind());
            assertEquals(1, String.valueOf(e.getMessage()).lines().count(), e.getMessage());
            assertTrue(String.valueOf(e.getMessage()).contains("tokenizer.json"), e.getMessage());
        }
        write("tokenizer.json", tokenizer);
        for (String file : List.of(
                "tokenizer_config.json",
                "special_tokens_map.json",
                "chat_template.json",
                "generation_config.json",
                "config.json")) {
            write(file, "{\"a\": ");
            TextException e = assertThrows(TextException.class, this::load, file);
            assertTrue(String.valueOf(e.getMessage()).contains(file), e.getMessage());
            for (String odd : List.of("[]", "1", "null", "{\"chat_template\": 5, \"eos_token_id\": \"x\"}")) {
                write(file, odd);
                assertTrue(TextModel.load(directory).isPresent());
            }
            Files.delete(directory.resolve(file));
        }
    }
}
