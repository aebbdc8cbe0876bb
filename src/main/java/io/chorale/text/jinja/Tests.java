package io.chorale.text.jinja;

import java.util.Locale;
import java.util.Set;

/** The tests that may follow {@code is}. */
final class Tests {
    private static final Set<String> NAMES = Set.of(
            "boolean",
            "callable",
            "defined",
            "even",
            "false",
            "integer",
            "iterable",
            "lower",
            "mapping",
            "none",
            "number",
            "odd",
            "sequence",
            "string",
            "true",
            "undefined",
            "upper");

    private Tests() {}

    static boolean isTest(String name) {
        return NAMES.contains(name);
    }

    static boolean test(String name, Value operand, Site site) {
        return switch (name) {
            case "boolean" -> operand instanceof Value.Bool;
            case "callable" -> operand instanceof Value.Function;
            case "defined" -> operand != Value.Absent.UNDEFINED;
            case "undefined" -> operand == Value.Absent.UNDEFINED;
            case "none" -> operand == Value.Absent.NONE;
            case "true" -> operand instanceof Value.Bool(boolean value) && value;
            case "false" -> operand instanceof Value.Bool(boolean value) && !value;
            case "even" -> integer(name, operand, site) % 2 == 0;
            case "odd" -> integer(name, operand, site) % 2 != 0;
            case "integer" -> operand instanceof Value.Int;
            case "number" -> operand instanceof Value.Int || operand instanceof Value.Real;
            case "string" -> operand instanceof Value.Str;
            case "lower", "upper" -> {
                if (!(operand instanceof Value.Str(Text text))) {
                    yield false;
                }
                site.budget().chars(text.length(), site.line());
                String chars = text.chars();
                yield chars.equals(
                        name.equals("lower") ? chars.toLowerCase(Locale.ROOT) : chars.toUpperCase(Locale.ROOT));
            }
            case "mapping" -> operand instanceof Value.Mapping;
            case "iterable" ->
                operand instanceof Value.Str || (operand instanceof Value.Sequence sequence && !sequence.tuple());
            case "sequence" ->
                operand instanceof Value.Str || operand instanceof Value.Sequence || operand instanceof Value.Mapping;
            default -> throw site.unsupported("the test '" + name + "' is not supported");
        };
    }

    private static long integer(String name, Value operand, Site site) {
        return switch (operand) {
            case Value.Int(long value) -> value;
            default -> throw site.failed("'is " + name + "' needs an integer, not " + operand.kind());
        };
    }
}
