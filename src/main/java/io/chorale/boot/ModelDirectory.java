package io.chorale.boot;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.chorale.adapter.JsonFault;
import io.chorale.api.SamplingDefaults;
import io.chorale.text.TextModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/** What the folder of the base model says beside its weights. */
final class ModelDirectory {
    private ModelDirectory() {}

    /** The tokens that end an answer, also where there is no tokenizer to ask. */
    static int[] endTokens(Path directory, Optional<TextModel> text) {
        if (text.isPresent()) {
            return text.get().endIds().stream().mapToInt(Integer::intValue).toArray();
        }
        for (String file : List.of("generation_config.json", "config.json")) {
            JsonNode end = read(directory.resolve(file)).path("eos_token_id");
            if (end.isInt()) {
                return new int[] {end.intValue()};
            }
            if (end.isArray() && !end.isEmpty()) {
                return IntStream.range(0, end.size())
                        .map(i -> end.get(i).asInt())
                        .toArray();
            }
        }
        return new int[0];
    }

    /** What {@code generation_config.json} says of how tokens are drawn; of what it does not say, OpenAI's defaults. */
    static SamplingDefaults samplingDefaults(Path directory) {
        Path file = directory.resolve("generation_config.json");
        JsonNode says = read(file);
        SamplingDefaults usual = SamplingDefaults.OPENAI;
        try {
            return new SamplingDefaults(
                    (float) says.path("temperature").asDouble(usual.temperature()),
                    // -1 is vLLM's word for off.
                    says.path("top_k").asInt(usual.topK()) == -1
                            ? 0
                            : says.path("top_k").asInt(usual.topK()),
                    (float) says.path("top_p").asDouble(usual.topP()),
                    (float) says.path("min_p").asDouble(usual.minP()),
                    (float) says.path("repetition_penalty").asDouble(usual.repetitionPenalty()));
        } catch (IllegalArgumentException outOfRange) {
            throw StartRefusal.because(file + ": " + outOfRange.getMessage()
                    + "; chorale.model.generation-config = false leaves the file alone");
        }
    }

    private static JsonNode read(Path file) {
        JsonMapper mapper = new JsonMapper();
        try {
            return Files.isRegularFile(file) ? mapper.readTree(file.toFile()) : mapper.missingNode();
        } catch (JacksonException malformed) {
            throw StartRefusal.because(file + ": is not valid JSON: " + JsonFault.words(malformed));
        } catch (IOException unreadable) {
            throw StartRefusal.because(file + ": cannot be read: " + unreadable.getMessage());
        }
    }

    /** Where adapters are looked for when nothing is said: beside the model's folder. */
    static Optional<Path> adaptersBeside(Path directory) {
        Path beside = directory.toAbsolutePath().normalize().resolveSibling("adapters");
        return Optional.of(beside).filter(Files::isDirectory);
    }
}
