package io.chorale.api;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Map;
import java.util.Set;

/**
 * Parameters that OpenAI's API or vLLM's knows and this server does not: refused by name when they ask for something,
 * because an answer that silently ignores them is a wrong answer. Null, an empty list and an empty map ask for nothing;
 * the table says what else does not. A field in neither table is ignored, as every server does.
 */
final class UnsupportedParameters {
    /** Whether a value asks for nothing, in its request. */
    private interface Rule {
        boolean asksNothing(JsonNode value, Fields request);
    }

    private static final Map<String, Rule> COMMON = Map.ofEntries(
            Map.entry("audio", UnsupportedParameters::nothingElse),
            Map.entry("service_tier", oneOf("auto", "default")),
            Map.entry("store", UnsupportedParameters::isFalse),
            Map.entry("suffix", oneOf("")),
            Map.entry("use_beam_search", UnsupportedParameters::isFalse),
            Map.entry("prompt_logprobs", UnsupportedParameters::nothingElse),
            Map.entry("structured_outputs", UnsupportedParameters::nothingElse),
            Map.entry("guided_json", UnsupportedParameters::nothingElse),
            Map.entry("guided_regex", UnsupportedParameters::nothingElse),
            Map.entry("guided_choice", UnsupportedParameters::nothingElse),
            Map.entry("guided_grammar", UnsupportedParameters::nothingElse),
            Map.entry("bad_words", UnsupportedParameters::nothingElse),
            Map.entry("allowed_token_ids", UnsupportedParameters::nothingElse),
            Map.entry("logits_processors", UnsupportedParameters::nothingElse),
            Map.entry("truncate_prompt_tokens", UnsupportedParameters::nothingElse),
            Map.entry("repetition_detection", UnsupportedParameters::nothingElse),
            Map.entry("thinking_token_budget", UnsupportedParameters::nothingElse),
            Map.entry("spaces_between_special_tokens", UnsupportedParameters::isTrueOrOfNone),
            Map.entry("kv_transfer_params", UnsupportedParameters::nothingElse),
            Map.entry("vllm_xargs", UnsupportedParameters::nothingElse),
            Map.entry("response_format", UnsupportedParameters::isPlainText));

    private static final Map<String, Rule> TEXT = Map.ofEntries(
            Map.entry("add_special_tokens", UnsupportedParameters::isTrueOrOfIds),
            Map.entry("prompt_embeds", UnsupportedParameters::nothingElse));

    private static final Map<String, Rule> CHAT = Map.ofEntries(
            // A chat template writes them itself.
            Map.entry("add_special_tokens", UnsupportedParameters::isFalse),
            Map.entry("mm_processor_kwargs", UnsupportedParameters::nothingElse),
            Map.entry("tools", UnsupportedParameters::nothingElse),
            Map.entry("tool_choice", oneOf("none", "auto")),
            Map.entry("functions", UnsupportedParameters::nothingElse),
            Map.entry("function_call", oneOf("none", "auto")),
            Map.entry("parallel_tool_calls", (value, request) -> value.isBoolean()),
            Map.entry(
                    "modalities",
                    (value, request) -> value.isArray() && value.size() == 1 && isText(value.get(0), "text")),
            Map.entry("prediction", UnsupportedParameters::nothingElse),
            Map.entry("reasoning_effort", oneOf("none")),
            Map.entry("verbosity", oneOf("medium")),
            Map.entry("web_search_options", UnsupportedParameters::nothingElse),
            Map.entry("echo", UnsupportedParameters::isFalse),
            Map.entry("continue_final_message", UnsupportedParameters::isFalse),
            Map.entry("documents", UnsupportedParameters::nothingElse),
            Map.entry("chat_template", UnsupportedParameters::nothingElse));

    private UnsupportedParameters() {}

    /** @throws Problem naming the first parameter that asks for what is not there */
    static void refuse(Fields request, CompletionRequest.Shape shape) {
        refuse(request, COMMON);
        refuse(request, shape == CompletionRequest.Shape.CHAT ? CHAT : TEXT);
    }

    private static void refuse(Fields request, Map<String, Rule> table) {
        request.object().fieldNames().forEachRemaining(name -> {
            Rule rule = table.get(name);
            JsonNode value = request.get(name);
            boolean asks = rule != null
                    && value != null
                    && !(value.isContainerNode() && value.isEmpty())
                    && !rule.asksNothing(value, request);
            if (asks) {
                throw Problem.unsupported(request.name(name));
            }
        });
    }

    private static boolean nothingElse(JsonNode value, Fields request) {
        return false;
    }

    private static boolean isFalse(JsonNode value, Fields request) {
        return value.isBoolean() && !value.booleanValue();
    }

    private static boolean isTrue(JsonNode value) {
        return value.isBoolean() && value.booleanValue();
    }

    /** To ids nothing is added. */
    private static boolean isTrueOrOfIds(JsonNode value, Fields request) {
        JsonNode prompt = request.get("prompt"), first = prompt == null ? null : prompt.get(0);
        return isTrue(value) || (first != null && (first.isNumber() || first.isArray()));
    }

    /** Between special tokens that are not written nothing is. */
    private static boolean isTrueOrOfNone(JsonNode value, Fields request) {
        JsonNode skipped = request.get("skip_special_tokens");
        return isTrue(value) || skipped == null || isTrue(skipped);
    }

    private static boolean isPlainText(JsonNode format, Fields request) {
        return format.isObject() && format.path("type").asText().equals("text");
    }

    private static Rule oneOf(String... values) {
        Set<String> set = Set.of(values);
        return (value, request) -> value.isTextual() && set.contains(value.textValue());
    }

    private static boolean isText(JsonNode node, String text) {
        return node.isTextual() && node.textValue().equals(text);
    }
}
