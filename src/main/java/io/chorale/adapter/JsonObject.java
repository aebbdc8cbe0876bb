package io.chorale.adapter;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/**
 * A JSON object whose fields are asked for by type; an answer of another type is refused with file and field. A field
 * that is null counts as absent, as in the configuration files this reads.
 *
 * @param file for messages
 * @param path of this object inside the file, for messages; empty or ending with a dot
 * @param fields as read: Map, List, String, Boolean, Double or null
 */
record JsonObject(String file, String path, Map<String, @Nullable Object> fields) {

    boolean has(String name) {
        return fields.get(name) != null;
    }

    /** Whether the file names the field at all, be its value null. */
    boolean mentions(String name) {
        return fields.containsKey(name);
    }

    String text(String name, String otherwise) throws FileRejectedException {
        Object value = fields.get(name);
        return value == null ? otherwise : as(String.class, name, value, "a string");
    }

    boolean flag(String name, boolean otherwise) throws FileRejectedException {
        Object value = fields.get(name);
        return value == null ? otherwise : as(Boolean.class, name, value, "true or false");
    }

    double number(String name, double otherwise) throws FileRejectedException {
        Object value = fields.get(name);
        return value == null ? otherwise : as(Double.class, name, value, "a number");
    }

    double number(String name) throws FileRejectedException {
        require(name);
        return number(name, 0);
    }

    OptionalInt integer(String name, int min, int max) throws FileRejectedException {
        Object value = fields.get(name);
        return value == null ? OptionalInt.empty() : OptionalInt.of(integer(name, value, min, max));
    }

    int integer(String name, int min, int max, int otherwise) throws FileRejectedException {
        return integer(name, min, max).orElse(otherwise);
    }

    int required(String name, int min, int max) throws FileRejectedException {
        require(name);
        return integer(name, min, max, 0);
    }

    /** An object field; empty when absent. */
    JsonObject object(String name) throws FileRejectedException {
        Map<String, @Nullable Object> inner = new LinkedHashMap<>();
        Object value = fields.get(name);
        if (value instanceof Map<?, ?> map) {
            map.forEach((key, item) -> inner.put(String.valueOf(key), item));
        } else if (value != null) {
            throw wrong(name, "must be an object, not " + shown(value));
        }
        return new JsonObject(file, path + name + ".", inner);
    }

    /** A list of strings, or one string as a list of one; empty when absent. */
    List<String> texts(String name) throws FileRejectedException {
        List<String> texts = new ArrayList<>();
        for (Object item : items(name)) {
            texts.add(as(String.class, name, item, "a string or a list of strings"));
        }
        return texts;
    }

    /** A list of integers, or one integer as a list of one; empty when absent. */
    List<Integer> integers(String name, int min, int max) throws FileRejectedException {
        List<Integer> integers = new ArrayList<>();
        for (Object item : items(name)) {
            integers.add(integer(name, item, min, max));
        }
        return integers;
    }

    FileRejectedException wrong(String name, String sentence) {
        return new FileRejectedException(file + ": '" + path + name + "' " + sentence);
    }

    /** A value as it stands in the file, for messages; the content of lists and objects is left out. */
    static String shown(@Nullable Object value) {
        return switch (value) {
            case null -> "null";
            case String text -> "\"" + (text.length() > 80 ? text.substring(0, 80) + "..." : text) + "\"";
            case List<?> list -> "a list of " + list.size();
            case Map<?, ?> map -> "an object of " + map.size() + " fields";
            case Double number -> isLong(number) ? Long.toString(number.longValue()) : number.toString();
            default -> value.toString();
        };
    }

    private static boolean isLong(double number) {
        return number == Math.rint(number) && Math.abs(number) <= 1e15;
    }

    private void require(String name) throws FileRejectedException {
        if (!has(name)) {
            throw wrong(name, "is missing");
        }
    }

    private List<Object> items(String name) throws FileRejectedException {
        Object value = fields.get(name);
        if (!(value instanceof List<?> list)) {
            return value == null ? List.of() : List.of(value);
        }
        List<Object> items = new ArrayList<>();
        for (Object item : list) {
            if (item == null) {
                throw wrong(name, "holds a null");
            }
            items.add(item);
        }
        return items;
    }

    private int integer(String name, Object value, int min, int max) throws FileRejectedException {
        double number = as(Double.class, name, value, "an integer");
        if (number != Math.rint(number) || number < min || number > max) {
            throw wrong(name, "must be an integer from " + min + " to " + max + ", not " + shown(value));
        }
        return (int) number;
    }

    private <T> T as(Class<T> type, String name, Object value, String expected) throws FileRejectedException {
        if (!type.isInstance(value)) {
            throw wrong(name, "must be " + expected + ", not " + shown(value));
        }
        return type.cast(value);
    }
}
