package io.chorale.boot;

import io.quarkus.runtime.configuration.MemorySize;
import java.math.BigInteger;
import java.net.URI;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** What is wrong with settings: of each its key, its value and the rule that it breaks. */
final class SettingProblems {
    private final List<String> sentences = new ArrayList<>();

    List<String> sentences() {
        return List.copyOf(sentences);
    }

    void range(String key, long value, long min, long max) {
        check(
                value >= min && value <= max,
                key,
                value,
                max == Long.MAX_VALUE ? "must be at least " + min : "must be between " + min + " and " + max);
    }

    void bytes(String key, MemorySize value, long min, long max) {
        BigInteger bytes = value.asBigInteger();
        check(
                bytes.compareTo(BigInteger.valueOf(min)) >= 0 && bytes.compareTo(BigInteger.valueOf(max)) <= 0,
                key,
                bytes,
                "must be between " + min + " and " + max + " bytes");
    }

    void webAddress(String key, URI value) {
        check(
                value.getHost() != null && String.valueOf(value.getScheme()).matches("https?"),
                key,
                value,
                "must be an address such as https://example.com");
    }

    void above0(String key, double value) {
        check(value > 0 && value <= 1e9, key, value, "must be above 0 and at most 1000000000");
    }

    void positive(String key, Duration value) {
        check(value.compareTo(Duration.ZERO) > 0, key, value, "must be longer than nothing");
    }

    void notNegative(String key, Duration value) {
        check(!value.isNegative(), key, value, "must not be negative");
    }

    void check(boolean holds, String key, Object value, String rule) {
        if (!holds) {
            sentences.add(key + " = " + value + ": " + rule);
        }
    }
}
