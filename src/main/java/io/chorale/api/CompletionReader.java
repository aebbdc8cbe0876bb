package io.chorale.api;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.chorale.api.CompletionRequest.Prompt;
import io.chorale.api.CompletionRequest.Shape;
import io.chorale.core.model.SamplingParams;
import io.chorale.text.ChatMessage;
import io.chorale.text.TextException;
import io.chorale.text.TextModel;
import io.chorale.text.jinja.TemplateException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.IntStream;

/** Reads the bodies of completion requests, and says by name what is wrong with them. */
public final class CompletionReader {
    /** OpenAI documents 4; agents send more. */
    private static final int STOPS_MAX = 16;

    private static final int STOP_CHARS_MAX = 1_000;
    private static final int STOP_IDS_MAX = 128;
    private static final int BIASES_MAX = 1_024;

    private final JsonMapper mapper = new JsonMapper();
    private final ModelCatalog catalog;
    private final int choicesMax;

    /** @param choicesMax answers that one request may ask for, over all its prompts */
    public CompletionReader(ModelCatalog catalog, int choicesMax) {
        this.catalog = catalog;
        this.choicesMax = choicesMax;
    }

    CompletionRequest read(Fields body, Shape shape) {
        return read(body, shape, body.flag("stream", false));
    }

    /** The same, for an endpoint that always streams. */
    CompletionRequest readStreamed(Fields body, Shape shape) {
        return read(body, shape, true);
    }

    private CompletionRequest read(Fields body, Shape shape, boolean stream) {
        ModelCatalog.Served model = catalog.find(modelName(body));
        UnsupportedParameters.refuse(body, shape);
        boolean echo = shape == Shape.TEXT && body.flag("echo", false);
        int n = body.integer("n", 1, 1, choicesMax);
        OptionalInt topLogProbs = topLogProbs(body, shape);
        if (echo && topLogProbs.isPresent()) {
            throw Problem.unsupported("echo", "'echo' together with 'logprobs' is not supported by this server.");
        }
        List<String> stops = stops(body);
        List<Prompt> prompts = shape == Shape.CHAT ? List.of(chatPrompt(body)) : prompts(body, echo);
        if ((long) prompts.size() * n > choicesMax) {
            throw Problem.badValue(
                    "n",
                    "The request asks for " + prompts.size() * (long) n + " answers; at most " + choicesMax
                            + " are allowed.");
        }
        int[] userStopIds = body.integers("stop_token_ids", STOP_IDS_MAX, 0, catalog.vocab() - 1);
        Fields streamOptions = body.child("stream_options");
        if (streamOptions != null && !stream) {
            throw Problem.badValue("stream_options", "'stream_options' is only allowed when 'stream' is true.");
        }
        if (streamOptions != null && streamOptions.flag("include_obfuscation", false)) {
            throw Problem.unsupported("stream_options.include_obfuscation");
        }
        boolean usageContinuous = streamOptions != null && streamOptions.flag("continuous_usage_stats", false);
        boolean usageIncluded = streamOptions != null && streamOptions.flag("include_usage", false);
        long seed =
                body.wide("seed").orElseGet(() -> ThreadLocalRandom.current().nextLong());
        List<SamplingParams> sampling = new ArrayList<>(prompts.size());
        for (Prompt prompt : prompts) {
            sampling.add(sampling(body, prompt.ids().length, userStopIds, topLogProbs.orElse(-1), seed));
        }
        boolean hasText = catalog.text().isPresent();
        return new CompletionRequest(
                shape,
                model,
                prompts,
                n,
                sampling,
                stops,
                body.flag("include_stop_str_in_output", false),
                userStopIds,
                body.flag("skip_special_tokens", true),
                echo,
                topLogProbs.isPresent(),
                body.flag("return_token_ids", !hasText),
                body.flag("return_tokens_as_token_ids", !hasText),
                stream,
                usageIncluded,
                usageContinuous);
    }

    private static String modelName(Fields body) {
        String name = body.text("model");
        if (name == null || name.isEmpty()) {
            throw Problem.invalid(400, "missing_parameter", "model", "You must provide a 'model' parameter.");
        }
        return name;
    }

    private SamplingParams sampling(Fields body, int promptTokens, int[] userStopIds, int topLogProbs, long seed) {
        int tokensMax = tokensMax(body, promptTokens);
        int tokensMin = body.integer("min_tokens", 0, 0, Integer.MAX_VALUE);
        if (tokensMin > tokensMax) {
            throw Problem.badValue(
                    "min_tokens",
                    "'min_tokens' (" + tokensMin + ") must not be greater than 'max_tokens' (" + tokensMax + ").");
        }
        IntStream ends = body.flag("ignore_eos", false) ? IntStream.empty() : Arrays.stream(catalog.endTokens());
        int[] stopIds =
                IntStream.concat(ends, Arrays.stream(userStopIds)).distinct().toArray();
        Fields bias = body.child("logit_bias");
        int[] biasIds = bias == null ? new int[0] : biasIds(bias);
        float[] biasValues = new float[biasIds.length];
        for (int i = 0; i < biasIds.length; i++) {
            // The name was read from the object, so it is there.
            biasValues[i] = bias == null ? 0 : bias.number(String.valueOf(biasIds[i]), 0, -100, 100);
        }
        return new SamplingParams(
                body.number("temperature", 1, 0, 100),
                Math.max(0, body.integer("top_k", 0, -1, Integer.MAX_VALUE)),
                topP(body),
                body.number("min_p", 0, 0, 1),
                repetitionPenalty(body),
                body.number("presence_penalty", 0, -2, 2),
                body.number("frequency_penalty", 0, -2, 2),
                seed,
                tokensMax,
                tokensMin,
                stopIds,
                topLogProbs,
                biasIds,
                biasValues);
    }

    private int tokensMax(Fields body, int promptTokens) {
        int context = catalog.contextMax();
        OptionalInt given = body.integer("max_completion_tokens", 1, Integer.MAX_VALUE);
        if (given.isEmpty()) {
            given = body.integer("max_tokens", 1, Integer.MAX_VALUE);
        }
        int wanted = given.orElse(Math.max(1, context - promptTokens));
        if ((long) promptTokens + wanted > context) {
            throw tooLong(context, wanted, promptTokens);
        }
        return wanted;
    }

    /** Agents match this sentence by regular expressions: it stays as it is. */
    static Problem tooLong(int context, long answerTokens, long promptTokens) {
        return Problem.invalid(
                400,
                "context_length_exceeded",
                "input_tokens",
                "This model's maximum context length is " + context + " tokens. However, you requested " + answerTokens
                        + " output tokens and your prompt contains at least " + promptTokens
                        + " input tokens, for a total of at least " + (answerTokens + promptTokens)
                        + " tokens. Please reduce the length of the input prompt or the number of requested output"
                        + " tokens.");
    }

    private static float topP(Fields body) {
        float topP = body.number("top_p", 1, 0, 1);
        // OpenAI's API takes 0 for "the best token alone".
        return Math.max(topP, Float.MIN_NORMAL);
    }

    private static float repetitionPenalty(Fields body) {
        float penalty = body.number("repetition_penalty", 1, 0, 100);
        if (penalty == 0) {
            throw Problem.badValue("repetition_penalty", "'repetition_penalty' must be greater than 0.");
        }
        return penalty;
    }

    private int[] biasIds(Fields bias) {
        if (bias.object().size() > BIASES_MAX) {
            throw Problem.badValue(
                    "logit_bias", "'logit_bias' has more than the " + BIASES_MAX + " tokens that are allowed.");
        }
        int[] ids = new int[bias.object().size()];
        int count = 0;
        for (Iterator<String> names = bias.object().fieldNames(); names.hasNext(); ) {
            String name = names.next();
            int id;
            try {
                id = Integer.parseInt(name);
            } catch (NumberFormatException notANumber) {
                id = -1;
            }
            if (id < 0 || id >= catalog.vocab() || !String.valueOf(id).equals(name)) {
                throw Problem.badValue(
                        "logit_bias",
                        "'logit_bias' names \"" + name + "\", which is not a token id below " + catalog.vocab() + ".");
            }
            ids[count++] = id;
        }
        return ids;
    }

    private static OptionalInt topLogProbs(Fields body, Shape shape) {
        if (shape == Shape.TEXT) {
            return body.integer("logprobs", 0, SamplingParams.TOP_LOGPROBS_MAX);
        }
        boolean wanted = body.flag("logprobs", false);
        OptionalInt top = body.integer("top_logprobs", 0, SamplingParams.TOP_LOGPROBS_MAX);
        if (top.isPresent() && !wanted && top.getAsInt() > 0) {
            throw Problem.badValue("top_logprobs", "'top_logprobs' is only allowed when 'logprobs' is true.");
        }
        return wanted ? OptionalInt.of(top.orElse(0)) : OptionalInt.empty();
    }

    private List<String> stops(Fields body) {
        List<String> stops = body.texts("stop", STOPS_MAX);
        for (String stop : stops) {
            if (stop.isEmpty() || stop.length() > STOP_CHARS_MAX) {
                throw Problem.badValue(
                        "stop", "A stop string must have between 1 and " + STOP_CHARS_MAX + " characters.");
            }
        }
        if (!stops.isEmpty() && catalog.text().isEmpty()) {
            throw noTokenizer("stop", "stop strings need text; use 'stop_token_ids'");
        }
        return stops;
    }

    // ---- prompts ----

    private Prompt chatPrompt(Fields body) {
        List<ChatMessage> messages = messages(body);
        TextModel text = catalog.text().orElseThrow(() -> noTokenizer("messages", "send token ids to /v1/completions"));
        boolean generation = body.flag("add_generation_prompt", true);
        try {
            return checked(text.promptOf(messages, generation, templateArguments(body)), "messages", "");
        } catch (TextException | TemplateException refused) {
            throw Problem.badValue(
                    "messages", "The messages do not fit this model's chat template: " + refused.getMessage());
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
            throw Problem.invalid(400, "missing_parameter", "messages", "You must provide a 'messages' parameter.");
        }
        if (!list.isArray()) {
            throw body.wrongType("messages", "a list of messages", list);
        }
        if (list.isEmpty()) {
            throw Problem.badValue("messages", "'messages' must have at least one message.");
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
        String role = message.text("role");
        String template = switch (role == null ? "" : role) {
            case "system", "user", "assistant" -> role;
            // What OpenAI's newer models call the system's message; no open model knows the word.
            case "developer" -> "system";
            case "tool", "function" ->
                throw Problem.unsupported(
                        message.name("role"), "Messages of the role '" + role + "' are not supported by this server.");
            case "" ->
                throw Problem.invalid(
                        400, "missing_parameter", message.name("role"), "'" + message.name("role") + "' is missing.");
            default ->
                throw Problem.badValue(
                        message.name("role"),
                        "'" + message.name("role") + "' must be system, developer, user or assistant, not '" + role
                                + "'.");
        };
        for (String asked : List.of("tool_calls", "function_call", "audio", "refusal")) {
            JsonNode value = message.get(asked);
            if (value != null && !(value.isContainerNode() && value.isEmpty())) {
                throw Problem.unsupported(message.name(asked));
            }
        }
        return new ChatMessage(String.valueOf(template), content(message));
    }

    /** A string, or a list of parts of text. */
    private static String content(Fields message) {
        JsonNode content = message.get("content");
        String name = message.name("content");
        if (content == null) {
            throw Problem.invalid(400, "missing_parameter", name, "'" + name + "' is missing.");
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
            String type = part.text("type");
            if (!"text".equals(type)) {
                throw Problem.unsupported(
                        part.name("type"),
                        "Parts of the type '" + type + "' are not supported by this server: text only.");
            }
            String piece = part.text("text");
            if (piece == null) {
                throw Problem.invalid(
                        400, "missing_parameter", part.name("text"), "'" + part.name("text") + "' is missing.");
            }
            text.append(piece);
        }
        return text.toString();
    }

    private List<Prompt> prompts(Fields body, boolean echo) {
        JsonNode prompt = body.get("prompt");
        String name = body.name("prompt");
        if (prompt == null) {
            throw Problem.invalid(400, "missing_parameter", name, "You must provide a 'prompt' parameter.");
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
        if (prompt.size() > choicesMax) {
            throw Problem.badValue(
                    name, "'" + name + "' has " + prompt.size() + " prompts; at most " + choicesMax + " are allowed.");
        }
        List<Prompt> prompts = new ArrayList<>(prompt.size());
        boolean texts = prompt.get(0).isTextual();
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
        return checked(model.encode(text), name, text);
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

    private static Problem noTokenizer(String param, String advice) {
        return Problem.invalid(
                400,
                "no_tokenizer",
                param,
                "This model was loaded without tokenizer files, so it takes and gives token ids only: " + advice + ".");
    }
}
