package io.chorale.api;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.chorale.api.CompletionRequest.Prompt;
import io.chorale.text.ChatMessage;
import io.chorale.text.TextException;
import io.chorale.text.TextModel;
import io.chorale.text.jinja.TemplateException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.stream.Collectors;

/** Reads prompts: conversations, texts, token ids; and says by name what is wrong with them. */
final class PromptReader {
    private final JsonMapper mapper = new JsonMapper();
    private final ModelCatalog catalog;
    private final int promptsMax;

    /** @param promptsMax prompts of one request */
    PromptReader(ModelCatalog catalog, int promptsMax) {
        this.catalog = catalog;
        this.promptsMax = promptsMax;
    }

    /** The prompt of {@code messages}, by the model's own template. */
    Prompt chat(Fields body) {
        List<ChatMessage> messages = messages(body);
        TextModel text = catalog.text()
                .orElseThrow(() -> noTokenizer(body.name("messages"), "send token ids to /v1/completions"));
        boolean generation = body.flag("add_generation_prompt", true);
        refuseHopeless(text, messages.stream().map(ChatMessage::content).collect(Collectors.joining("\n")));
        try {
            return checked(text.promptOf(messages, generation, templateArguments(body)), body.name("messages"), "");
        } catch (TextException | TemplateException refused) {
            throw Problem.badValue(
                    body.name("messages"),
                    "The messages do not fit this model's chat template: " + refused.getMessage());
        }
    }

    /** Variables that a template knows beyond OpenAI's API, such as {@code enable_thinking}. */
    private Map<String, ?> templateArguments(Fields body) {
        Fields arguments = body.child("chat_template_kwargs");
        return arguments == null ? Map.of() : mapper.convertValue(arguments.object(), new TypeReference<>() {});
    }

    private List<ChatMessage> messages(Fields body) {
        JsonNode list = body.get("messages");
        if (list == null) {
            throw Problem.missing(body.name("messages"));
        }
        if (!list.isArray()) {
            throw body.wrongType("messages", "a list of messages", list);
        }
        if (list.isEmpty()) {
            throw Problem.badValue(body.name("messages"), "'messages' must have at least one message.");
        }
        List<ChatMessage> messages = new ArrayList<>(list.size());
        for (int i = 0; i < list.size(); i++) {
            String path = body.name("messages") + "[" + i + "]";
            if (!list.get(i).isObject()) {
                throw Fields.wrongTypeOf(path, "an object", list.get(i));
            }
            messages.add(message(new Fields(list.get(i), path + ".")));
        }
        return messages;
    }

    private static ChatMessage message(Fields message) {
        String role = required(message, "role");
        String template = switch (role) {
            case "system", "user", "assistant" -> role;
            // What OpenAI's newer models call the system's message; no open model knows the word.
            case "developer" -> "system";
            case "tool", "function" ->
                throw Problem.unsupported(
                        message.name("role"), "Messages of the role '" + role + "' are not supported by this server.");
            default ->
                throw Problem.badValue(
                        message.name("role"),
                        "'" + message.name("role") + "' must be system, developer, user or assistant, not '" + role
                                + "'.");
        };
        for (String asked : List.of("tool_calls", "function_call", "audio", "refusal")) {
            JsonNode value = message.get(asked);
            if (value != null && !isEmpty(value)) {
                throw Problem.unsupported(message.name(asked));
            }
        }
        return new ChatMessage(template, content(message));
    }

    /** As clients send an earlier answer back: with all its fields, most of them empty. */
    private static boolean isEmpty(JsonNode value) {
        return value.isTextual() ? value.textValue().isEmpty() : value.isContainerNode() && value.isEmpty();
    }

    /** A string, or a list of parts of text. */
    private static String content(Fields message) {
        JsonNode content = message.get("content");
        String name = message.name("content");
        if (content == null) {
            throw Problem.missing(name);
        }
        if (content.isTextual()) {
            return content.textValue();
        }
        if (!content.isArray()) {
            throw Fields.wrongTypeOf(name, "a string or a list of parts", content);
        }
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < content.size(); i++) {
            if (!content.get(i).isObject()) {
                throw Fields.wrongTypeOf(name + "[" + i + "]", "an object", content.get(i));
            }
            Fields part = new Fields(content.get(i), name + "[" + i + "].");
            String type = required(part, "type");
            if (!type.equals("text")) {
                throw Problem.unsupported(
                        part.name("type"),
                        "Parts of the type '" + type + "' are not supported by this server: text only.");
            }
            text.append(required(part, "text"));
        }
        return text.toString();
    }

    private static String required(Fields fields, String name) {
        String value = fields.text(name);
        if (value == null) {
            throw Problem.missing(fields.name(name));
        }
        return value;
    }

    /**
     * What {@code prompt} holds.
     *
     * @param echo whether the text of token ids is wanted
     */
    List<Prompt> completions(Fields body, boolean echo) {
        JsonNode prompt = body.get("prompt");
        String name = body.name("prompt");
        if (prompt == null) {
            throw Problem.missing(name);
        }
        if (prompt.isTextual()) {
            return List.of(textPrompt(prompt.textValue(), name));
        }
        if (!prompt.isArray()) {
            throw Fields.wrongTypeOf(name, "a string, a list of strings, or a list of token ids", prompt);
        }
        if (prompt.isEmpty()) {
            throw Problem.badValue(name, "'" + name + "' must not be empty.");
        }
        if (prompt.get(0).isNumber()) {
            return List.of(idPrompt(prompt, name, echo));
        }
        if (prompt.size() > promptsMax) {
            throw Problem.badValue(
                    name, "'" + name + "' has " + prompt.size() + " prompts; at most " + promptsMax + " are allowed.");
        }
        List<Prompt> prompts = new ArrayList<>(prompt.size());
        boolean texts = prompt.get(0).isTextual();
        if (!texts && !prompt.get(0).isArray()) {
            throw Fields.wrongTypeOf(name + "[0]", "a string, a token id, or a list of token ids", prompt.get(0));
        }
        for (int i = 0; i < prompt.size(); i++) {
            JsonNode one = prompt.get(i);
            String itsName = name + "[" + i + "]";
            if (texts ? !one.isTextual() : !one.isArray()) {
                throw Fields.wrongTypeOf(itsName, texts ? "a string" : "a list of token ids", one);
            }
            prompts.add(texts ? textPrompt(one.textValue(), itsName) : idPrompt(one, itsName, echo));
        }
        return prompts;
    }

    private Prompt textPrompt(String text, String name) {
        TextModel model = catalog.text().orElseThrow(() -> noTokenizer(name, "send token ids instead"));
        refuseHopeless(model, text);
        return checked(model.encode(text), name, text);
    }

    /** What is far longer than the context is refused before all of it is tokenised. */
    private void refuseHopeless(TextModel model, String text) {
        OptionalInt tokens = model.tokensBeyond(catalog.contextMax(), text);
        if (tokens.isPresent()) {
            throw CompletionReader.tooLong(catalog.contextMax(), 1, tokens.getAsInt());
        }
    }

    private Prompt idPrompt(JsonNode list, String name, boolean echo) {
        int[] ids = Fields.integers(name, list, 0, catalog.vocab() - 1);
        String text = echo
                ? catalog.text()
                        .map(model -> model.tokenizer().decode(ids, false))
                        .orElse("")
                : "";
        return checked(ids, name, text);
    }

    private static Prompt checked(int[] ids, String name, String text) {
        if (ids.length == 0) {
            throw Problem.badValue(name, "'" + name + "' has no tokens.");
        }
        return new Prompt(ids, text);
    }

    // ---- the tokenizer alone ----

    /** The ids of a text or a conversation, as they would be answered. */
    int[] tokenize(Fields body) {
        if (body.get("messages") != null) {
            return chat(body).ids();
        }
        // Whoever counts may count more than fits the context.
        String text = required(body, "prompt");
        TextModel model = catalog.text().orElseThrow(() -> noTokenizer("prompt", "there is nothing to tell"));
        return model.encode(text);
    }

    String detokenize(Fields body) {
        if (body.get("tokens") == null) {
            throw Problem.missing("tokens");
        }
        int[] ids = body.integers("tokens", catalog.contextMax(), 0, catalog.vocab() - 1);
        TextModel model = catalog.text().orElseThrow(() -> noTokenizer("tokens", "there is no text for them"));
        return model.tokenizer().decode(ids, false);
    }

    static Problem noTokenizer(String param, String advice) {
        return Problem.invalid(
                400,
                "no_tokenizer",
                param,
                "This model was loaded without tokenizer files, so it takes and gives token ids only: " + advice + ".");
    }
}
