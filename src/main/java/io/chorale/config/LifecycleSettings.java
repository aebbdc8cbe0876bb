package io.chorale.config;

import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithDefault;
import java.time.Duration;

/** Shutdown and health. */
@ConfigMapping(prefix = "chorale.lifecycle")
public interface LifecycleSettings {
    /** How long answers under way may take to finish when the server is told to stop. */
    @WithDefault("20S")
    Duration drainGrace();

    /** A serving thread that has been in one step for so long counts as dead. */
    @WithDefault("60S")
    Duration stuckAfter();
}
