package io.chorale.config;

import io.chorale.core.model.Priority;
import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithConverter;
import io.smallrye.config.WithDefault;
import io.smallrye.config.WithParentName;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;

/**
 * Times to first token that requests may ask for with the header x-slo-ttft-ms. A request that cannot meet its own is
 * refused, or given up while it waits. CLASS is high, normal or low.
 */
@ConfigMapping(prefix = "chorale.objectives")
public interface ObjectiveSettings {
    /** By class. */
    @WithParentName
    Map<@WithConverter(PriorityName.class) Priority, Bounds> byClass();

    /** Of one class. */
    interface Bounds {
        /** Where a request says nothing. Unset: it may take as long as it takes. */
        Optional<Duration> ttft();

        /** What a request asks for counts as no less. */
        @WithDefault("50MS")
        Duration ttftMin();

        /** And as no more. */
        @WithDefault("1H")
        Duration ttftMax();
    }
}
