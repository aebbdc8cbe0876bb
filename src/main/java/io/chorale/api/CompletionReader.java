package io.chorale.api;

import com.fasterxml.jackson.databind.JsonNode;
import io.chorale.api.CompletionRequest.Prompt;
import io.chorale.api.CompletionRequest.Shape;
import io.chorale.core.model.SamplingParams;
import io.chorale.text.StopMatcher;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.IntStream;

/** Reads the bodies of completion requests, and says by name what is wrong with them. */
public final class CompletionReader {
    private static final int STOP_IDS_MAX = 128;
    private static final int BIASES_MAX = 1_024;
    private static final Set<String> PART_FIELDS = Set.of("name", "scale");
    private static final int PARTS_MAX = 8;

    /** A factor beyond this drowns the base model. */
    private static final float PART_SCALE_MAX = 100;

    private final ModelCatalog catalog;
    private final PromptReader prompts;
    private final CacheSalts cacheSalts = new CacheSalts();
    private final int choicesMax;
    private final SamplingDefaults defaults;

    /**
     * @param choicesMax answers that one request may ask for, over all its prompts
     * @param defaults for what a request does not say
     */
    public CompletionReader(ModelCatalog catalog, int choicesMax, SamplingDefaults defaults) {
        this.catalog = catalog;
        this.prompts = new PromptReader(catalog, choicesMax);
        this.choicesMax = choicesMax;
        this.defaults = defaults;
    }

    PromptReader prompts() {
        return prompts;
    }

    CompletionRequest read(Fields body, Shape shape, Caller caller) {
        return read(body, shape, caller, body.flag("stream", false));
    }

    /** The same, for an endpoint that always streams. */
    CompletionRequest readStreamed(Fields body, Shape shape, Caller caller) {
        return read(body, shape, caller, true);
    }

    private CompletionRequest read(Fields body, Shape shape, Caller caller, boolean stream) {
        ModelCatalog.Served served = catalog.find(model(body), parts(body), user(body), caller.adapters());
        UnsupportedParameters.refuse(body, shape);
        boolean echo = shape == Shape.TEXT && body.flag("echo", false);
        int n = body.integer("n", 1, 1, choicesMax);
        // As many candidates as answers: nothing is chosen. 0 is a form field left empty.
        int candidates = body.integer("best_of", n, 0, Integer.MAX_VALUE);
        if (candidates > n) {
            throw Problem.unsupported(
                    body.name("best_of"), "'best_of' greater than 'n' is not supported by this server.");
        }
        if (candidates > 0 && candidates < n) {
            throw Problem.badValue(
                    body.name("best_of"), "'best_of' (" + candidates + ") must not be less than 'n' (" + n + ").");
        }
        OptionalInt topLogProbs = topLogProbs(body, shape);
        if (echo && topLogProbs.isPresent()) {
            throw Problem.unsupported(
                    body.name("echo"), "'echo' together with 'logprobs' is not supported by this server.");
        }
        List<String> stops = stops(body);
        List<Prompt> asked = shape == Shape.CHAT ? List.of(prompts.chat(body)) : prompts.completions(body, echo);
        if ((long) asked.size() * n > choicesMax) {
            throw Problem.badValue(
                    body.name("n"),
                    "The request asks for " + asked.size() * (long) n + " answers; at most " + choicesMax
                            + " are allowed.");
        }
        int[] userStopIds = body.integers("stop_token_ids", STOP_IDS_MAX, 0, catalog.vocab() - 1);
        Fields streamOptions = body.child("stream_options");
        if (streamOptions != null && !stream) {
            throw Problem.badValue(
                    body.name("stream_options"), "'stream_options' is only allowed when 'stream' is true.");
        }
        if (streamOptions != null && streamOptions.flag("include_obfuscation", false)) {
            throw Problem.unsupported(streamOptions.name("include_obfuscation"));
        }
        boolean usageContinuous = streamOptions != null && streamOptions.flag("continuous_usage_stats", false);
        boolean usageIncluded = streamOptions != null && streamOptions.flag("include_usage", false);
        OptionalLong seed = body.wide("seed");
        List<SamplingParams> sampling = new ArrayList<>(asked.size());
        for (Prompt prompt : asked) {
            // Drawn for each prompt: two that are the same are not to have the same answer.
            long drawn = seed.orElseGet(() -> ThreadLocalRandom.current().nextLong());
            sampling.add(sampling(body, prompt.ids().length, userStopIds, topLogProbs.orElse(-1), drawn));
        }
        boolean hasText = catalog.text().isPresent();
        return new CompletionRequest(
                shape,
                served.answering(asked),
                asked,
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
                usageContinuous,
                caller,
                caller.priority(body.integer("priority", 0, Integer.MIN_VALUE, Integer.MAX_VALUE)),
                cacheSalts.of(body));
    }

    /** Who asks, as the client says; what is not a string is nobody. */
    private static String user(Fields body) {
        for (String name : List.of("user", "safety_identifier")) {
            JsonNode value = body.get(name);
            if (value != null && value.isTextual()) {
                return value.textValue();
            }
        }
        return "";
    }

    private static ModelCatalog.Part model(Fields body) {
        String name = body.text("model");
        if (name == null || name.isEmpty()) {
            throw Problem.missing(body.name("model"));
        }
        return new ModelCatalog.Part(body.name("model"), name, 1);
    }

    /** The adapters that the request adds to its model: {@code "lora": [{"name": ..., "scale": ...}, ...]}. */
    private static List<ModelCatalog.Part> parts(Fields body) {
        JsonNode list = body.get("lora");
        if (list == null) {
            return List.of();
        }
        if (!list.isArray()) {
            throw body.wrongType("lora", "a list of objects", list);
        }
        if (list.size() > PARTS_MAX) {
            throw Problem.badValue(
                    body.name("lora"),
                    "'lora' names " + list.size() + " adapters; at most " + PARTS_MAX + " are allowed.");
        }
        List<ModelCatalog.Part> parts = new ArrayList<>();
        for (int i = 0; i < list.size(); i++) {
            String path = body.name("lora") + "[" + i + "]";
            if (!list.get(i).isObject()) {
                throw Fields.wrongTypeOf(path, "an object with 'name' and 'scale'", list.get(i));
            }
            Fields part = new Fields(list.get(i), path + ".");
            part.onlyKnows(PART_FIELDS);
            String field = part.name("name");
            String name = part.text("name");
            if (name == null || name.isEmpty()) {
                throw Problem.missing(field);
            }
            parts.add(new ModelCatalog.Part(field, name, part.number("scale", 1, -PART_SCALE_MAX, PART_SCALE_MAX)));
        }
        return parts;
    }

    private SamplingParams sampling(Fields body, int promptTokens, int[] userStopIds, int topLogProbs, long seed) {
        int tokensMax = tokensMax(body, promptTokens);
        int tokensMin = body.integer("min_tokens", 0, 0, Integer.MAX_VALUE);
        if (tokensMin > tokensMax) {
            throw Problem.badValue(
                    body.name("min_tokens"),
                    "'min_tokens' (" + tokensMin + ") must not be greater than 'max_tokens' (" + tokensMax + ").");
        }
        IntStream ends = body.flag("ignore_eos", false) ? IntStream.empty() : Arrays.stream(catalog.endTokens());
        int[] stopIds =
                IntStream.concat(ends, Arrays.stream(userStopIds)).distinct().toArray();
        Fields bias = body.child("logit_bias");
        int[] biasIds = bias == null ? new int[0] : biasIds(body, bias);
        float[] biasValues = new float[biasIds.length];
        for (int i = 0; i < biasIds.length; i++) {
            // The name was read from the object, so it is there.
            biasValues[i] = bias == null ? 0 : bias.number(String.valueOf(biasIds[i]), 0, -100, 100);
        }
        return new SamplingParams(
                body.number("temperature", defaults.temperature(), 0, 100),
                Math.max(0, body.integer("top_k", defaults.topK(), -1, Integer.MAX_VALUE)),
                topP(body),
                body.number("min_p", defaults.minP(), 0, 1),
                body.number(
                        "repetition_penalty",
                        defaults.repetitionPenalty(),
                        SamplingParams.REPETITION_PENALTY_MIN,
                        SamplingParams.REPETITION_PENALTY_MAX),
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
        OptionalInt older = body.integer("max_tokens", 1, Integer.MAX_VALUE);
        OptionalInt given = body.integer("max_completion_tokens", 1, Integer.MAX_VALUE);
        int wanted = given.orElse(older.orElse(Math.max(1, context - promptTokens)));
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

    private float topP(Fields body) {
        float topP = body.number("top_p", defaults.topP(), 0, 1);
        // OpenAI's API takes 0 for "the best token alone".
        return Math.max(topP, Float.MIN_NORMAL);
    }

    private int[] biasIds(Fields body, Fields bias) {
        if (bias.object().size() > BIASES_MAX) {
            throw Problem.badValue(
                    body.name("logit_bias"),
                    "'logit_bias' has more than the " + BIASES_MAX + " tokens that are allowed.");
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
                        body.name("logit_bias"),
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
            throw Problem.badValue(
                    body.name("top_logprobs"), "'top_logprobs' is only allowed when 'logprobs' is true.");
        }
        return wanted ? OptionalInt.of(top.orElse(0)) : OptionalInt.empty();
    }

    private List<String> stops(Fields body) {
        if ("".equals(body.object().path("stop").textValue())) {
            // A form field left empty: none is wanted.
            return List.of();
        }
        List<String> stops = body.texts("stop", StopMatcher.STOP_STRINGS_MAX);
        for (String stop : stops) {
            if (stop.isEmpty() || stop.length() > StopMatcher.STOP_CHARS_MAX) {
                throw Problem.badValue(
                        body.name("stop"),
                        "A stop string must have between 1 and " + StopMatcher.STOP_CHARS_MAX + " characters.");
            }
        }
        if (!stops.isEmpty() && catalog.text().isEmpty()) {
            throw PromptReader.noTokenizer(body.name("stop"), "stop strings need text; use 'stop_token_ids'");
        }
        return stops;
    }
}
