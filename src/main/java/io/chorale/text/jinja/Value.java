package io.chorale.text.jinja;

import io.chorale.text.jinja.TemplateException.Kind;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** A value of the template language. */
sealed interface Value {
    /** The two absences: a name that is not there, and {@code none}. */
    enum Absent implements Value {
        UNDEFINED,
        NONE
    }

    record Bool(boolean value) implements Value {}

    record Int(long value) implements Value {}

    record Real(double value) implements Value {}

    record Str(Text text) implements Value {
        String chars() {
            return text.chars();
        }
    }

    /** A list or tuple, which differ only in that a tuple is neither printed nor taken apart by a loop. */
    record Sequence(List<Value> items, boolean tuple) implements Value {
        static Sequence list(List<Value> items) {
            return new Sequence(items, false);
        }
    }

    /** A mapping; {@code content} says that its keys came from a message. */
    record Mapping(Map<String, Value> entries, boolean content) implements Value {
        Value key(String key) {
            return new Str(Text.of(key, content));
        }

        Value get(String key) {
            return entries.getOrDefault(key, Absent.UNDEFINED);
        }
    }

    /** What {@code namespace()} makes: the one value whose attributes {@code set} may change. */
    record Namespace(Map<String, Value> entries) implements Value {}

    record Function(String name, Body body) implements Value {
        @FunctionalInterface
        interface Body {
            Value call(Arguments arguments, Scope caller, Site site);
        }
    }

    static Value of(boolean value) {
        return new Bool(value);
    }

    static Value of(String templateText) {
        return new Str(Text.template(templateText));
    }

    /** Nesting of the values handed in, JSON of a request most likely. */
    int IMPORT_NESTING_MAX = 64;

    /** A Java value as it is known in the template; strings and keys are marked by {@code content}. */
    static Value of(@Nullable Object value, boolean content) {
        return of(value, content, 0);
    }

    private static Value of(@Nullable Object value, boolean content, int nesting) {
        if (nesting > IMPORT_NESTING_MAX) {
            throw TemplateException.at(
                    Kind.LIMIT, 1, "a value for the template is nested deeper than " + IMPORT_NESTING_MAX + " levels");
        }
        return switch (value) {
            case null -> Absent.NONE;
            case Value known -> known;
            case String text -> new Str(Text.of(text, content));
            case Boolean truth -> new Bool(truth);
            case Integer number -> new Int(number);
            case Long number -> new Int(number);
            case Number number -> real(number.doubleValue());
            case List<?> list -> {
                List<Value> items = new ArrayList<>(list.size());
                for (Object item : list) {
                    items.add(of(item, content, nesting + 1));
                }
                yield Sequence.list(items);
            }
            case Map<?, ?> map -> {
                Map<String, Value> entries = new LinkedHashMap<>();
                map.forEach((key, item) -> entries.put(String.valueOf(key), of(item, content, nesting + 1)));
                yield new Mapping(entries, content);
            }
            default ->
                throw new IllegalArgumentException(
                        "no value of a template: " + value.getClass().getName());
        };
    }

    /** JSON does not tell 1 from 1.0, and neither does the reference. */
    private static Value real(double number) {
        return number == Math.rint(number) && Math.abs(number) <= Numbers.INTEGER_MAX
                ? new Int((long) number)
                : new Real(number);
    }

    default boolean truthy() {
        return switch (this) {
            case Absent absent -> false;
            case Bool(boolean value) -> value;
            case Int(long value) -> value != 0;
            case Real(double value) -> value != 0 && !Double.isNaN(value);
            case Str(Text text) -> !text.isEmpty();
            case Sequence(List<Value> items, boolean tuple) -> !items.isEmpty();
            case Mapping mapping -> !mapping.entries().isEmpty();
            case Namespace namespace -> true;
            case Function function -> true;
        };
    }

    /** What an error message calls this value. */
    default String kind() {
        return switch (this) {
            case Absent absent -> absent == Absent.NONE ? "none" : "an undefined value";
            case Bool bool -> "a boolean";
            case Int integer -> "an integer";
            case Real real -> "a float";
            case Str string -> "a string";
            case Sequence sequence -> sequence.tuple() ? "a tuple" : "a list";
            case Mapping mapping -> "a mapping";
            case Namespace namespace -> "a namespace";
            case Function function -> "a function";
        };
    }
}
