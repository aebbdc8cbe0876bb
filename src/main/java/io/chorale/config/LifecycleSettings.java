package io.chorale.config;

import io.quarkus.runtime.configuration.MemorySize;
import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithDefault;
import java.time.Duration;
import java.util.Optional;

/** Shutdown and health. */
@ConfigMapping(prefix = "chorale.lifecycle")
public interface LifecycleSettings {
    /** How long answers under way may take to finish when the server is told to stop. */
    @WithDefault("20S")
    Duration drainGrace();

    /** A serving thread that has been in one step for so long counts as dead. */
    @WithDefault("60S")
    Duration stuckAfter();

    /**
     * How soon the process ends, with status 70, once the engine or the loop is dead, so that a supervisor starts it anew.
     * Empty: it stays, and answers with 503.
     */
    @WithDefault("2S")
    Optional<Duration> endWithin();

    /**
     * How often the properties files that settings were read from are looked at for other limits (chorale.admission), quotas
     * (chorale.tenants), objectives and keys, which then hold without a restart; 0S: never.
     */
    @WithDefault("5S")
    Duration reloadEvery();

    /**
     * Of the native executable: what its heap may grow by until it is collected as a whole in a quiet moment, with few
     * requests under way, lest that is done in a busy one; 0: never.
     */
    @WithDefault("8M")
    MemorySize quietCollection();
}
