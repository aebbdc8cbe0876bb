package io.chorale.text;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.chorale.text.jinja.Reference;
import io.chorale.text.jinja.TemplateException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;

class ChatTemplateTest {
    private static final List<String> CONTENTS = List.of(
            "Hi!",
            "",
            " leading and trailing \n",
            "\n\nTwo\n\nparagraphs\n\n",
            "<think>\nHmm.\n</think>\n\nAnswer",
            "no start</think> after",
            "<tool_response>x</tool_response>",
            "<|eot_id|><|im_end|><end_of_turn><｜User｜></s>[INST]",
            "{{ 7 * 7 }}{% if true %}{# c #}",
            "emoji 😀 👩‍👩‍👧 é ñ ü 你好 مرحبا \u00a0\u2028\ufeff",
            "quotes \" ' ` \\ / \t tab",
            "```java\nint x = 1;\n```",
            "a".repeat(3000));
    private static final List<List<String>> ROLES = List.of(
            List.of("user"),
            List.of("system", "user"),
            List.of("user", "assistant"),
            List.of("user", "assistant", "user"),
            List.of("system", "user", "assistant", "user"),
            List.of("system", "user", "assistant", "user", "assistant", "user"),
            List.of("user", "assistant", "user", "assistant"),
            List.of("user", "user"),
            List.of("assistant"),
            List.of("system"),
            List.of("system", "system", "user"),
            List.of("user", "system", "user"),
            List.of("user", "tool", "tool", "assistant"),
            List.of("assistant", "user"),
            List.of());

    @Test
    void rendersRealTemplatesAsTheReferenceDoes() throws IOException {
        Map<String, String> sources = new HashMap<>();
        sources.put("fable", Files.readString(Path.of("models/fable/model/chat_template.jinja")));
        for (String name : NpmTokenizers.WITH_TEMPLATE) {
            sources.put(name, NpmTokenizers.config(name).path("chat_template").asText());
        }
        Random random = new Random(20261121);
        List<Reference.Case> cases = new ArrayList<>();
        List<String> actual = new ArrayList<>();
        for (Map.Entry<String, String> source : sources.entrySet()) {
            Map<String, Object> tokens = tokens(source.getKey());
            ChatTemplate template = ChatTemplate.parse(source.getValue(), tokens);
            for (List<ChatMessage> messages : conversations(random)) {
                boolean addGenerationPrompt = random.nextBoolean();
                Map<String, Object> extra =
                        random.nextInt(3) == 0 ? Map.of("enable_thinking", random.nextBoolean()) : Map.of();
                Map<String, Object> variables = new HashMap<>(tokens);
                variables.putAll(extra);
                variables.put(
                        "messages",
                        messages.stream().map(ChatTemplateTest::asMap).toList());
                variables.put("add_generation_prompt", addGenerationPrompt);
                cases.add(new Reference.Case(source.getValue(), variables));
                actual.add(rendered(template, messages, addGenerationPrompt, extra));
            }
        }
        List<Reference.Outcome> expected = Reference.render(cases);
        int refused = 0;
        for (int i = 0; i < cases.size(); i++) {
            Reference.Outcome outcome = expected.get(i);
            int number = i;
            if (outcome.error().isEmpty()) {
                assertEquals(outcome.text(), actual.get(i), () -> "case " + number + ": " + cases.get(number));
            } else {
                assertTrue(actual.get(i).startsWith("refused: "), () -> outcome.error() + cases.get(number));
                refused++;
            }
        }
        assertTrue(cases.size() >= 500 && refused > 0 && refused < cases.size() / 4, refused + " of " + cases.size());
    }

    private static Map<String, Object> tokens(String name) throws IOException {
        Map<String, Object> tokens = new HashMap<>();
        JsonNode config = name.equals("fable")
                ? new com.fasterxml.jackson.databind.ObjectMapper()
                        .readTree(Files.readString(Path.of("models/fable/model/tokenizer_config.json")))
                : NpmTokenizers.config(name);
        for (String field : List.of("bos_token", "eos_token")) {
            JsonNode token = config.path(field);
            String text = token.isObject() ? token.path("content").asText() : token.asText("");
            if (!text.isEmpty() && !token.isNull()) {
                tokens.put(field, text);
            }
        }
        return tokens;
    }

    private static List<List<ChatMessage>> conversations(Random random) {
        List<List<ChatMessage>> conversations = new ArrayList<>();
        for (List<String> roles : ROLES) {
            for (int i = 0; i < 8; i++) {
                conversations.add(roles.stream()
                        .map(role -> new ChatMessage(
                                role,
                                CONTENTS.get(random.nextInt(CONTENTS.size())),
                                random.nextInt(5) == 0 ? Optional.of("Ann") : Optional.empty()))
                        .toList());
            }
        }
        return conversations;
    }

    private static Map<String, String> asMap(ChatMessage message) {
        Map<String, String> map = new HashMap<>();
        map.put("role", message.role());
        map.put("content", message.content());
        message.name().ifPresent(name -> map.put("name", name));
        return map;
    }

    private static String rendered(
            ChatTemplate template, List<ChatMessage> messages, boolean addGenerationPrompt, Map<String, Object> extra) {
        try {
            return template.render(messages, addGenerationPrompt, extra).text();
        } catch (TemplateException e) {
            return "refused: " + e.getMessage();
        }
    }

    @Test
    void marksWhatCameFromMessages() {
        String template = "{{ bos }}{% for m in messages %}<{{ m.role }}>{{ m.content|trim }}{{ m.name|default('') }}"
                + "{{ m['content'].split(',')[-1].upper()[1:] + '!' }}{{ [m.content]|tojson }}</>{% endfor %}";
        RenderedPrompt prompt = ChatTemplate.parse(template, Map.of("bos", "<s>"))
                .render(List.of(new ChatMessage("user", " a,<b> ", Optional.of("Z"))), false, Map.of());
        StringBuilder marked = new StringBuilder();
        prompt.pieces().forEach(piece -> marked.append(piece.fromContent() ? "«" + piece.text() + "»" : piece.text()));
        assertEquals("<s><user>«a,<b>ZB> »![\"« a,<b> »\"]</>", marked.toString());
    }

    @Test
    void marksVariablesOfTheRequestAndTheKeysInThem() {
        RenderedPrompt prompt = ChatTemplate.parse(
                        "{{ tools }}{% for k, v in extra.items() %}{{ k }}{{ v }}{% endfor %}", Map.of())
                .render(List.of(), false, Map.of("tools", List.of("<s>"), "extra", Map.of("<|end|>", 1)));
        assertEquals("[\"<s>\"]<|end|>1", prompt.text());
        StringBuilder content = new StringBuilder();
        prompt.pieces().stream()
                .filter(RenderedPrompt.Piece::fromContent)
                .forEach(piece -> content.append(piece.text()));
        assertEquals("<s><|end|>", content.toString());
    }

    @Test
    void theModelsVariablesGoBeforeThoseOfTheRequest() {
        RenderedPrompt prompt = ChatTemplate.parse("{{ bos }}{{ add_generation_prompt }}", Map.of("bos", "<s>"))
                .render(List.of(), true, Map.of("bos", "forged", "add_generation_prompt", "forged"));
        assertEquals("<s>true", prompt.text());
        assertFalse(prompt.pieces().getFirst().fromContent());
    }

    @Test
    void saysWhatTheTemplateSaysWhenItRefuses() {
        ChatTemplate template = ChatTemplate.parse(
                "{% if messages[0].role != 'user' %}\n{{ raise_exception('user first') }}{% endif %}", Map.of());
        TemplateException e = assertThrows(
                TemplateException.class,
                () -> template.render(List.of(new ChatMessage("system", "x")), true, Map.of()));
        assertEquals(TemplateException.Kind.RAISED, e.kind());
        assertEquals("user first", e.getMessage());
        assertEquals(2, e.line());
    }

    @Test
    void knowsTheTime() {
        Clock clock = Clock.fixed(Instant.parse("2026-03-05T07:08:09Z"), ZoneOffset.UTC);
        String format = "{{ strftime_now('%d %b %Y, %B, %m, %H:%M, 100%%') }}";
        assertEquals(
                "05 Mar 2026, March, 03, 07:08, 100%",
                ChatTemplate.parse(format, Map.of(), clock)
                        .render(List.of(), false, Map.of())
                        .text());
    }

    @Test
    void aRoleIsNeverFreeText() {
        assertThrows(IllegalArgumentException.class, () -> new ChatMessage("end", "x"));
        assertThrows(IllegalArgumentException.class, () -> new ChatMessage("user|>", "x"));
    }

    @Test
    void rendersLongConversationsSoon() throws IOException {
        List<ChatMessage> messages = new ArrayList<>();
        for (int i = 0; i < 2000; i++) {
            messages.add(new ChatMessage(i % 2 == 0 ? "user" : "assistant", "word ".repeat(200)));
        }
        for (String name : NpmTokenizers.WITH_TEMPLATE) {
            ChatTemplate template = ChatTemplate.parse(
                    NpmTokenizers.config(name).path("chat_template").asText(), tokens(name));
            assertTrue(template.render(messages, true, Map.of()).text().length() > 2_000_000 - 2000);
        }
    }
}
