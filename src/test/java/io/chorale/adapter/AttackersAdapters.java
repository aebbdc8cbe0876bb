package io.chorale.adapter;

import io.chorale.adapter.SafetensorsWriter.Values;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;

/** Kinds of broken adapter that nobody makes by mistake: numbers at the edges, names that are to harm, headers that lie by one. */
final class AttackersAdapters {
    private static final String HARMFUL = "evil\\u001b[31m\\u0000\\n2026 INFO all is well \\u202e";
    private static final String WHOLE = "{\"r\":2,\"target_modules\":[\"q_proj\"]";

    private AttackersAdapters() {}

    static void addTo(MalformedAdapters corpus) {
        numbers(corpus);
        texts(corpus);
        headers(corpus);
        shapes(corpus);
    }

    private static void numbers(MalformedAdapters corpus) {
        corpus.setting(
                "alpha-enormous", "lora_alpha", "1e30", "the scale 5.0E29; in size 1.0E-6 to 10000.0 are served");
        corpus.setting("alpha-enormous-below-zero", "lora_alpha", "-1e30", "the scale -5.0E29; in size");
        corpus.setting("alpha-vanishing", "lora_alpha", "1e-40", "; in size 1.0E-6 to 10000.0 are served");
        corpus.setting(
                "alpha-pattern-enormous", "alpha_pattern", "{\"q_proj\":3e37}", "self_attn.q_proj the scale 1.5E37");
        corpus.setting(
                "alpha-pattern-text", "alpha_pattern", "{\"q_proj\":\"4\"}", "'alpha_pattern.q_proj' must be a number");
        corpus.setting("alpha-is-true", "lora_alpha", "true", "'lora_alpha' must be a number, not true");
        corpus.setting("rank-pattern-zero", "rank_pattern", "{\"q_proj\":0}", "self_attn.q_proj the rank 0");
        corpus.setting("rank-pattern-is-a-list", "rank_pattern", "[\"q_proj\"]", "'rank_pattern' must be an object");
        corpus.setting("rank-of-2-to-the-40", "r", "1099511627776", "'r' must be an integer from 1 to 4096");
        corpus.setting(
                "layers-below-zero", "layers_to_transform", "[-1]", "'layers_to_transform' must be an integer from 0");
        corpus.setting(
                "invoked-outside-the-vocabulary", "alora_invocation_tokens", "[16]", "integer from 0 to 15, not 16");
        corpus.setting("invoked-by-nothing", "alora_invocation_tokens", "[]", "nothing would ever invoke the adapter");
        corpus.setting("dora-as-a-text", "use_dora", "\"false\"", "'use_dora' must be true or false, not \"false\"");
    }

    private static void texts(MalformedAdapters corpus) {
        corpus.setting(
                "base-is-a-list", "base_model_name_or_path", "[\"x\"]", "'base_model_name_or_path' must be a string");
        corpus.setting(
                "base-without-end",
                "base_model_name_or_path",
                "\"" + "x".repeat(5_000) + "\"",
                "'base_model_name_or_path' has more than 4096 characters");
        corpus.config("config-utf16", (WHOLE + "}").getBytes(StandardCharsets.UTF_16), "it is not UTF-8");
        corpus.config(
                "config-says-r-twice-in-disguise",
                MalformedAdapters.text(WHOLE + ",\"\\u0072\":4}"),
                "Duplicate field 'r'");
        corpus.config("config-with-a-comma-too-many", MalformedAdapters.text(WHOLE + ",}"), "is not valid JSON");
        corpus.config("config-with-a-comment", MalformedAdapters.text("// mine\n" + WHOLE + "}"), "is not valid JSON");
        corpus.config("config-with-nan", MalformedAdapters.text(WHOLE + ",\"lora_alpha\":NaN}"), "is not valid JSON");
        corpus.config(
                "config-twice", MalformedAdapters.text(WHOLE + "}" + WHOLE + "}"), "something follows the JSON object");
    }

    private static void headers(MalformedAdapters corpus) {
        byte[] whole = SafetensorsWriter.file(
                List.of(MalformedAdapters.entry(MalformedAdapters.Q0A, "F32", new int[] {2, 8}, 0, 64)), 64);
        long length = whole.length - 64 - 8;
        corpus.weights(
                "header-one-too-long",
                MalformedAdapters.length(whole.clone(), length + 1),
                "adapter_model.safetensors");
        corpus.weights(
                "header-one-too-short", MalformedAdapters.length(whole.clone(), length - 1), "ends in the middle");
        corpus.weights(
                "header-of-nothing", MalformedAdapters.length(whole.clone(), 0), "says that its header has 0 bytes");
        corpus.raw("offset-below-zero", offsets("[-64,0]"), 64, "holds -64, which is out of range");
        corpus.raw("offset-beyond-64-bits", offsets("[0,18446744073709551680]"), 64, "out of range");
        corpus.raw("offset-is-a-fraction", offsets("[0.0,64]"), 64, "data_offsets is not an integer");
        corpus.raw("offsets-three", offsets("[0,32,64]"), 64, "has more than 2 entries");
        corpus.raw(
                "metadata-is-a-number", "\"__metadata__\":{\"format\":1}", 0, "__metadata__ 'format' is not a string");
        corpus.raw("metadata-twice", "\"__metadata__\":{},\"__metadata__\":{}", 0, "Duplicate field");
        corpus.raw(
                "type-of-a-tensor-twice",
                "\"" + MalformedAdapters.Q0A
                        + "\":{\"dtype\":\"F32\",\"d\\u0074ype\":\"F16\",\"shape\":[2,8],\"data_offsets\":[0,64]}",
                64,
                "Duplicate field 'dtype'");
        corpus.raw(
                "name-that-breaks-lines",
                "\"" + HARMFUL + "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}",
                4,
                "tensor 'evil\\u001b[31m\\u0000\\u000a2026 INFO all is well \\u202e' is not LoRA's A or B");
        corpus.raw(
                "name-without-end",
                "\"" + "x".repeat(4_000) + "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}",
                4,
                "xxx...");
    }

    private static String offsets(String offsets) {
        return "\"" + MalformedAdapters.Q0A + "\":{\"dtype\":\"F32\",\"shape\":[2,8],\"data_offsets\":" + offsets + "}";
    }

    private static void shapes(MalformedAdapters corpus) {
        corpus.tensor(
                "a-of-no-dimension",
                tensors -> tensors.put(MalformedAdapters.Q0A, TestFolders.values()),
                "has shape [], but a matrix of shape [2, 8] is needed");
        corpus.tensor(
                "a-of-no-rows",
                tensors -> tensors.put(MalformedAdapters.Q0A, TestFolders.values(0, 8)),
                "has rank 0, but the configuration says 2");
        corpus.tensor(
                "a-turned-round",
                tensors -> tensors.put(MalformedAdapters.Q0A, TestFolders.values(8, 2)),
                "has shape [8, 2], but this linear of the base model has 8 input features");
        corpus.tensor(
                "layer-below-zero",
                AttackersAdapters::rename,
                "layers.-1.self_attn.q_proj.lora_A.weight' is not LoRA's");
    }

    private static void rename(Map<String, Values> tensors) {
        Values a = tensors.remove(MalformedAdapters.Q0A);
        tensors.put(MalformedAdapters.Q0A.replace("layers.0.", "layers.-1."), a);
    }
}
