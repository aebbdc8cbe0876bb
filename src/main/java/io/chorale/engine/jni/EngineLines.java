package io.chorale.engine.jni;

import java.util.LinkedHashMap;
import java.util.Map;

/** Settings as the C ABI has them: lines {@code key=value}. */
final class EngineLines {
    private EngineLines() {}

    static Map<String, String> parse(String text) {
        Map<String, String> values = new LinkedHashMap<>();
        text.lines().forEach(line -> {
            int equals = line.indexOf('=');
            if (equals < 0) {
                throw new IllegalStateException("the engine library sent a line that is not key=value: " + line);
            }
            values.put(line.substring(0, equals), line.substring(equals + 1));
        });
        return values;
    }

    static String write(Map<String, ?> values) {
        StringBuilder text = new StringBuilder();
        values.forEach(
                (key, value) -> text.append(key).append('=').append(value).append('\n'));
        return text.toString();
    }
}
