package io.chorale.config;

import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithDefault;
import java.nio.file.Path;
import java.util.Optional;

/** The base model and its adapters. */
@ConfigMapping(prefix = "chorale.model")
public interface ModelSettings {
    /** Folder of the base model: config.json, safetensors files and, for text, tokenizer.json. */
    @WithDefault("models/fable/model")
    Path dir();

    /** Name that clients ask for. Unset: the name of the folder, or of the one above where the folder is called "model". */
    Optional<String> name();
}
