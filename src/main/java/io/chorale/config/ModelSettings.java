package io.chorale.config;

import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithConverter;
import io.smallrye.config.WithDefault;
import java.nio.file.Path;
import java.util.Optional;

/** The base model and its adapters. */
@ConfigMapping(prefix = "chorale.model")
public interface ModelSettings {
    /** Where the weights come from. */
    enum LoadFormat {
        /** The folder's safetensors files. */
        FILES,
        /** Nowhere: the engine makes them of random numbers. To measure with. */
        DUMMY
    }

    /** Folder of the base model: config.json, safetensors files and, for text, tokenizer.json. */
    @WithDefault("models/fable/model")
    Path dir();

    /** Name that clients ask for. Unset: the name of the folder, or of the one above where the folder is called "model". */
    Optional<String> name();

    /**
     * Whether requests that do not say how tokens are drawn get what generation_config.json says (temperature, top_k, top_p,
     * min_p, repetition_penalty), as in vLLM; otherwise OpenAI's defaults.
     */
    @WithDefault("true")
    @WithConverter(FlagText.class)
    boolean generationConfig();

    /** Where weights come from: files, or dummy, which makes random ones, to measure with; the folder then needs a config.json only. */
    @WithDefault("files")
    LoadFormat loadFormat();

    /** The load format dummy. */
    Dummy dummy();

    /** How random weights are made. */
    interface Dummy {
        /** A built-in configuration in place of the folder: llama-2-7b or llama-3-8b. */
        Optional<String> shape();

        /** What the weights are made from; the same seed gives the same weights. */
        @WithDefault("0")
        long seed();
    }
}
