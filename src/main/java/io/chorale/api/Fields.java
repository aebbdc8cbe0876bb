package io.chorale.api;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * The fields of a JSON object from a client. A field that is absent or null has its default; one of a wrong type or out of
 * range is refused by its name. One thread at a time.
 */
public final class Fields {
    private final String path;
    private @Nullable Supplier<JsonNode> source;
    private @Nullable JsonNode object;

    /** @param path how the object is reached from the root of the request, empty for the root, else with a final dot */
    Fields(JsonNode object, String path) {
        this.object = object;
        this.path = path;
    }

    private Fields(Supplier<JsonNode> source) {
        this.source = source;
        this.path = "";
    }

    /** The fields of a request, which is read when the first of them is asked for. */
    static Fields root(Supplier<JsonNode> source) {
        return new Fields(source);
    }

    /** @throws Problem where the request is no object */
    JsonNode object() {
        JsonNode read = object;
        if (read == null) {
            read = source == null ? MissingNode.getInstance() : checked(source.get());
            object = read;
            source = null;
        }
        return read;
    }

    private static JsonNode checked(JsonNode node) {
        if (node.isMissingNode()) {
            throw Problem.invalid(400, "invalid_json", null, "The request body is empty.");
        }
        if (!node.isObject()) {
            throw Problem.invalid(400, "invalid_type", null, "The request body must be a JSON object.");
        }
        return node;
    }

    /**
     * Lets go of all values, which were read. The framework holds the body for as long as its answer is streamed, and a
     * prompt as a tree is many times the size of its tokens.
     */
    void forget() {
        object = MissingNode.getInstance();
        source = null;
    }

    /** The value, or null where the field is absent or null. */
    @Nullable
    JsonNode get(String name) {
        JsonNode value = object().get(name);
        return value == null || value.isNull() ? null : value;
    }

    String name(String name) {
        return path + name;
    }

    boolean flag(String name, boolean byDefault) {
        JsonNode value = get(name);
        if (value == null) {
            return byDefault;
        }
        if (!value.isBoolean()) {
            throw wrongType(name, "a boolean", value);
        }
        return value.booleanValue();
    }

    float number(String name, float byDefault, float min, float max) {
        JsonNode value = get(name);
        return value == null ? byDefault : number(name(name), value, min, max);
    }

    static float number(String name, JsonNode value, float min, float max) {
        if (!value.isNumber()) {
            throw wrongTypeOf(name, "a number", value);
        }
        double number = value.doubleValue();
        // Written so that NaN is outside.
        if (!(number >= min && number <= max)) {
            throw Problem.badValue(
                    name,
                    "'" + name + "' must be between " + plain(min) + " and " + plain(max) + ", not " + value.asText()
                            + ".");
        }
        return (float) number;
    }

    OptionalInt integer(String name, int min, int max) {
        JsonNode value = get(name);
        return value == null ? OptionalInt.empty() : OptionalInt.of(integer(name(name), value, min, max));
    }

    int integer(String name, int byDefault, int min, int max) {
        return integer(name, min, max).orElse(byDefault);
    }

    static int integer(String name, JsonNode value, int min, int max) {
        if (!isInteger(value)) {
            throw wrongTypeOf(name, "an integer", value);
        }
        double number = value.doubleValue();
        if (!(number >= min && number <= max)) {
            throw Problem.badValue(
                    name,
                    max == Integer.MAX_VALUE && !(number > max)
                            ? "'" + name + "' must be at least " + min + ", not " + value + "."
                            : "'" + name + "' must be between " + min + " and " + max + ", not " + value + ".");
        }
        return (int) number;
    }

    OptionalLong wide(String name) {
        JsonNode value = get(name);
        if (value == null) {
            return OptionalLong.empty();
        }
        if (!isInteger(value) || !value.canConvertToLong()) {
            throw wrongType(name, "an integer of at most 64 bits", value);
        }
        return OptionalLong.of(value.longValue());
    }

    @Nullable
    String text(String name) {
        JsonNode value = get(name);
        if (value == null) {
            return null;
        }
        if (!value.isTextual()) {
            throw wrongType(name, "a string", value);
        }
        return value.textValue();
    }

    /** A string or a list of strings. */
    List<String> texts(String name, int countMax) {
        JsonNode value = get(name);
        if (value == null) {
            return List.of();
        }
        if (value.isTextual()) {
            return List.of(value.textValue());
        }
        if (!value.isArray()) {
            throw wrongType(name, "a string or a list of strings", value);
        }
        checkCount(name, value, countMax);
        List<String> texts = new ArrayList<>();
        for (int i = 0; i < value.size(); i++) {
            if (!value.get(i).isTextual()) {
                throw wrongTypeOf(name(name) + "[" + i + "]", "a string", value.get(i));
            }
            texts.add(value.get(i).textValue());
        }
        return texts;
    }

    int[] integers(String name, int countMax, int min, int max) {
        JsonNode value = get(name);
        if (value == null) {
            return new int[0];
        }
        if (!value.isArray()) {
            throw wrongType(name, "a list of integers", value);
        }
        checkCount(name, value, countMax);
        return integers(name(name), value, min, max);
    }

    static int[] integers(String name, JsonNode list, int min, int max) {
        int[] values = new int[list.size()];
        for (int i = 0; i < values.length; i++) {
            JsonNode value = list.get(i);
            // A prompt has thousands of them: the name is made for one that is refused.
            boolean plain = value.isInt() && value.intValue() >= min && value.intValue() <= max;
            values[i] = plain ? value.intValue() : integer(name + "[" + i + "]", value, min, max);
        }
        return values;
    }

    @Nullable
    Fields child(String name) {
        JsonNode value = get(name);
        if (value == null) {
            return null;
        }
        if (!value.isObject()) {
            throw wrongType(name, "an object", value);
        }
        return new Fields(value, name(name) + ".");
    }

    /** Refuses a field that is none of these: where all are ours, one that nobody knows is a slip. */
    void onlyKnows(Set<String> names) {
        for (Map.Entry<String, JsonNode> field : object().properties()) {
            if (!names.contains(field.getKey())) {
                throw Problem.badValue(
                        name(field.getKey()),
                        "'" + name(field.getKey()) + "' is not known here; known are "
                                + String.join(", ", new TreeSet<>(names)) + ".");
            }
        }
    }

    Problem wrongType(String name, String wanted, JsonNode value) {
        return wrongTypeOf(name(name), wanted, value);
    }

    static Problem wrongTypeOf(String name, String wanted, JsonNode value) {
        return Problem.invalid(
                400, "invalid_type", name, "'" + name + "' must be " + wanted + ", not " + typeOf(value) + ".");
    }

    private void checkCount(String name, JsonNode list, int countMax) {
        if (list.size() > countMax) {
            throw Problem.badValue(
                    name(name),
                    "'" + name(name) + "' has " + list.size() + " elements; at most " + countMax + " are allowed.");
        }
    }

    /** As clients write integers: 5 and 5.0 alike. */
    private static boolean isInteger(JsonNode value) {
        return value.isIntegralNumber()
                || (value.isFloatingPointNumber() && value.doubleValue() == Math.rint(value.doubleValue()));
    }

    private static String typeOf(JsonNode value) {
        return switch (value.getNodeType()) {
            case STRING -> "a string";
            case NUMBER -> "the number " + value;
            case BOOLEAN -> "a boolean";
            case ARRAY -> "a list";
            case OBJECT -> "an object";
            case NULL -> "null";
            case BINARY, MISSING, POJO -> "something else";
        };
    }

    private static String plain(float value) {
        return new BigDecimal(Float.toString(value)).stripTrailingZeros().toPlainString();
    }
}
