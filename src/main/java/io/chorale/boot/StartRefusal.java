package io.chorale.boot;

import io.quarkus.runtime.configuration.ConfigurationException;

/** The sentence that ends a start. Quarkus prints that of such an exception, and no stack trace. */
final class StartRefusal {
    private StartRefusal() {}

    /** Of a setting whose value turned out to be of no use. */
    static ConfigurationException of(String key, Object value, Exception why) {
        return new ConfigurationException(
                "chorale: cannot start: " + key + " = " + value + " cannot be served: " + why.getMessage());
    }
}
