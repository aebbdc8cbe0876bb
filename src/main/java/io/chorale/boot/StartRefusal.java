package io.chorale.boot;

import io.quarkus.runtime.configuration.ConfigurationException;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** The sentence that ends a start. Quarkus prints that of such an exception, and no stack trace. */
final class StartRefusal {
    private StartRefusal() {}

    /** @param sentences without their full stops, one below the other */
    static ConfigurationException because(String... sentences) {
        return new ConfigurationException(
                Stream.of(sentences).map("chorale: cannot start: "::concat).collect(Collectors.joining("\n")));
    }

    /** Of a setting whose value turned out to be of no use. */
    static ConfigurationException of(String key, Object value, Exception why) {
        return because(key + " = " + value + " cannot be served: " + why.getMessage());
    }
}
