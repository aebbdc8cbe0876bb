package io.chorale.config;

import io.quarkus.runtime.configuration.MemorySize;
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

    /**
     * Where the model is fetched from in place of that folder: hf://ORG/NAME@REVISION, or a folder with a file SHA256SUMS at
     * https://HOST/PATH/ or s3://BUCKET/PATH/. It must be allowed (chorale.sources) and is kept in chorale.adapters.state-dir;
     * what a revision stands for at the first start it stands for at every later one.
     */
    Optional<String> source();

    /** SHA-256 of the file SHA256SUMS, where the source is not on the hub. */
    Optional<String> sha256();

    /** Bytes of the files of a model that is fetched. */
    @WithDefault("512G")
    MemorySize fetchBytesMax();

    /** Name that clients ask for. Unset: the last part of the source, or the name of the folder, or of the one above where the folder is called "model". */
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
