package io.chorale.config;

import io.quarkus.runtime.configuration.MemorySize;
import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithDefault;
import java.nio.file.Path;
import java.util.Optional;

/** The LoRA adapters. */
@ConfigMapping(prefix = "chorale.adapters")
public interface AdapterSettings {
    /** Folder whose sub-folders are adapters. Unset: "adapters" beside the model's folder, where there is one. */
    Optional<Path> dir();

    /** Host memory that adapters may take which are read but not in the page pool. */
    @WithDefault("2G")
    MemorySize hostBytes();

    /** Adapters in the page pool at once. */
    @WithDefault("256")
    int residentMax();
}
