package io.chorale.config;

import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithDefault;

/** The door: what is refused at once, with 503 and the time to come again. */
@ConfigMapping(prefix = "chorale.admission")
public interface AdmissionSettings {
    /** Sequences behind the door, waiting and running. */
    @WithDefault("1024")
    int requestsMax();

    /** Sequences that wait. */
    @WithDefault("768")
    int queueRequestsMax();

    /** Tokens that the waiting sequences want computed. */
    @WithDefault("1000000")
    long queueTokensMax();
}
