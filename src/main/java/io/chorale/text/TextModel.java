package io.chorale.text;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.MissingNode;
import io.chorale.text.TextException.Kind;
import io.chorale.text.jinja.TemplateException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.NavigableSet;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeSet;

/** What a model directory says about text: tokenizer, chat template, and the tokens that begin and end a text. */
public final class TextModel {
    private static final ObjectMapper JSON = new ObjectMapper();
    /** Tokenizer classes that put begin and end tokens by their configuration, whatever {@code tokenizer.json} says. */
    private static final Set<String> FLAG_CLASSES = Set.of("Llama", "CodeLlama", "Gemma", "Cohere");

    private static final Set<String> TOKEN_FIELDS =
            Set.of("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token");

    /** Texts up to so many characters are tokenised without a look at their beginning. */
    private static final int LONG_CHARS_MIN = 64 << 10;
    /** The end of a cut text may have a few tokens more than the same place in the whole. */
    private static final int CUT_TOKENS_MAX = 32;

    private final Tokenizer tokenizer;
    private final ChatTemplates templates;
    private final NavigableSet<Integer> endIds;
    private final Framing framing;

    private TextModel(Tokenizer tokenizer, ChatTemplates templates, NavigableSet<Integer> endIds, Framing framing) {
        this.tokenizer = tokenizer;
        this.templates = templates;
        this.endIds = endIds;
        this.framing = framing;
    }

    /** The parsed template, or why there is none: a model without one still completes text. */
    private sealed interface ChatTemplates {
        record Usable(ChatTemplate template) implements ChatTemplates {}

        record Unusable(RuntimeException reason) implements ChatTemplates {}
    }

    /** What is put around a text that asks for special tokens: by the tokenizer's file, or by flags. */
    private sealed interface Framing {
        record ByFile() implements Framing {}

        record ByFlags(OptionalInt begin, OptionalInt end) implements Framing {}
    }

    /**
     * Reads a model directory; empty if there is no {@code tokenizer.json}, so that the model knows token ids only.
     *
     * @throws TextException if a file is malformed
     */
    public static Optional<TextModel> load(Path directory) {
        Path tokenizerFile = directory.resolve("tokenizer.json");
        if (!Files.isRegularFile(tokenizerFile)) {
            return Optional.empty();
        }
        JsonNode config = json(directory.resolve("tokenizer_config.json"));
        Optional<String> source = templateSource(directory, config);
        Tokenizer tokenizer = HuggingFaceTokenizer.load(tokenizerFile, source.orElse(""));
        Map<String, Object> specialTokens = specialTokens(config, json(directory.resolve("special_tokens_map.json")));
        OptionalInt begin = idOf(tokenizer, specialTokens, "bos_token");
        OptionalInt end = idOf(tokenizer, specialTokens, "eos_token");
        return Optional.of(new TextModel(
                tokenizer,
                chatTemplates(source, specialTokens, directory),
                endIds(directory, end),
                framing(config, begin, end)));
    }

    public Tokenizer tokenizer() {
        return tokenizer;
    }

    /** The tokens that end an answer. */
    public NavigableSet<Integer> endIds() {
        return endIds;
    }

    /** The ids of a prompt that is plain text, with the special tokens that the model expects around one. */
    public int[] encode(String text) {
        return switch (framing) {
            case Framing.ByFile() -> tokenizer.encode(text, true);
            case Framing.ByFlags(OptionalInt begin, OptionalInt end) -> {
                int[] ids = tokenizer.encode(text, false);
                int[] framed = new int[ids.length + (begin.isPresent() ? 1 : 0) + (end.isPresent() ? 1 : 0)];
                begin.ifPresent(id -> framed[0] = id);
                System.arraycopy(ids, 0, framed, begin.isPresent() ? 1 : 0, ids.length);
                end.ifPresent(id -> framed[framed.length - 1] = id);
                yield framed;
            }
        };
    }

    /**
     * Whether a text has more tokens than are of use, told from its beginning where that is enough: megabytes are refused
     * at the price of a prompt.
     *
     * @return a number above {@code tokensMax} of tokens that it has at least; empty where its beginning does not tell
     */
    public OptionalInt tokensBeyond(int tokensMax, String text) {
        long chars = Math.max(LONG_CHARS_MIN, 8L * tokensMax);
        for (; chars < text.length(); chars *= 4) {
            int tokens = tokenizer.encode(text.substring(0, (int) chars), false).length - CUT_TOKENS_MAX;
            if (tokens > tokensMax) {
                return OptionalInt.of(tokens);
            }
        }
        return OptionalInt.empty();
    }

    /**
     * The ids of a conversation; {@link ChatTemplate#render} explains the arguments.
     *
     * @throws TextException if the model has no chat template, or a message forges a special token beyond repair
     * @throws TemplateException if the template is not supported, or refuses the messages
     */
    public int[] promptOf(List<ChatMessage> messages, boolean addGenerationPrompt, Map<String, ?> extra) {
        return tokenizer.encode(chatTemplate().render(messages, addGenerationPrompt, extra));
    }

    /** The chat template, or the reason why there is none thrown. */
    public ChatTemplate chatTemplate() {
        return switch (templates) {
            case ChatTemplates.Usable(ChatTemplate template) -> template;
            case ChatTemplates.Unusable(RuntimeException reason) -> throw reason;
        };
    }

    /** A detokenizer for one stream. */
    public IncrementalDetokenizer newDetokenizer(boolean skipSpecialTokens) {
        return new IncrementalDetokenizer(tokenizer, skipSpecialTokens);
    }

    private static ChatTemplates chatTemplates(
            Optional<String> source, Map<String, Object> specialTokens, Path directory) {
        if (source.isEmpty()) {
            return new ChatTemplates.Unusable(new TextException(
                    Kind.NO_CHAT_TEMPLATE,
                    "the model has no chat template: neither chat_template.jinja nor a chat_template in"
                            + " tokenizer_config.json is in " + directory));
        }
        try {
            return new ChatTemplates.Usable(ChatTemplate.parse(source.get(), specialTokens));
        } catch (TemplateException e) {
            return new ChatTemplates.Unusable(e);
        }
    }

    private static Optional<String> templateSource(Path directory, JsonNode config) {
        Path file = directory.resolve("chat_template.jinja");
        if (Files.isRegularFile(file)) {
            try {
                return Optional.of(Files.readString(file));
            } catch (IOException e) {
                throw malformed(file, e);
            }
        }
        JsonNode template = config.path("chat_template");
        if (template.isMissingNode()) {
            template = json(directory.resolve("chat_template.json")).path("chat_template");
        }
        if (template.isArray()) {
            for (JsonNode named : template) {
                if (named.path("name").asText().equals("default")) {
                    return Optional.of(named.path("template").asText());
                }
            }
        }
        return template.isTextual() ? Optional.of(template.asText()) : Optional.empty();
    }

    /** The special tokens by name, as templates know them. */
    private static Map<String, Object> specialTokens(JsonNode config, JsonNode map) {
        Map<String, Object> tokens = new HashMap<>();
        for (JsonNode source : List.of(map, config)) {
            source.properties().forEach(field -> {
                boolean known = TOKEN_FIELDS.contains(field.getKey());
                if (known) {
                    content(field.getValue()).ifPresent(token -> tokens.put(field.getKey(), token));
                }
            });
            source.path("extra_special_tokens")
                    .properties()
                    .forEach(field -> content(field.getValue()).ifPresent(token -> tokens.put(field.getKey(), token)));
        }
        return tokens;
    }

    /** A token is written as its text, or as an object with its text as content. */
    private static Optional<String> content(JsonNode token) {
        JsonNode text = token.isObject() ? token.path("content") : token;
        return text.isTextual() ? Optional.of(text.asText()) : Optional.empty();
    }

    private static OptionalInt idOf(Tokenizer tokenizer, Map<String, Object> specialTokens, String name) {
        return specialTokens.get(name) instanceof String token ? tokenizer.idOf(token) : OptionalInt.empty();
    }

    /** The ends named by the generation configuration, or else the model's, and the tokenizer's own. */
    private static NavigableSet<Integer> endIds(Path directory, OptionalInt tokenizerEnd) {
        NavigableSet<Integer> ids = new TreeSet<>();
        tokenizerEnd.ifPresent(ids::add);
        Set<Integer> named = new LinkedHashSet<>();
        for (String file : List.of("generation_config.json", "config.json")) {
            if (named.isEmpty()) {
                JsonNode end = json(directory.resolve(file)).path("eos_token_id");
                (end.isArray() ? end : List.of(end)).forEach(id -> {
                    if (id.canConvertToInt()) {
                        named.add(id.intValue());
                    }
                });
            }
        }
        ids.addAll(named);
        return Collections.unmodifiableNavigableSet(ids);
    }

    private static Framing framing(JsonNode config, OptionalInt begin, OptionalInt end) {
        String tokenizerClass = config.path("tokenizer_class").asText("").replaceFirst("Tokenizer(Fast)?$", "");
        if (!FLAG_CLASSES.contains(tokenizerClass)) {
            return new Framing.ByFile();
        }
        return new Framing.ByFlags(
                config.path("add_bos_token").asBoolean(true) ? begin : OptionalInt.empty(),
                config.path("add_eos_token").asBoolean(false) ? end : OptionalInt.empty());
    }

    private static JsonNode json(Path file) {
        if (!Files.isRegularFile(file)) {
            return MissingNode.getInstance();
        }
        try {
            return JSON.readTree(Files.readString(file));
        } catch (JacksonException e) {
            throw new TextException(Kind.MALFORMED_FILE, file + " is no JSON: " + e.getOriginalMessage(), e);
        } catch (IOException e) {
            throw malformed(file, e);
        }
    }

    private static TextException malformed(Path file, IOException e) {
        return new TextException(Kind.MALFORMED_FILE, file + " cannot be read: " + e.getMessage(), e);
    }
}
