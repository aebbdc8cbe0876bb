package io.chorale.text.jinja;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The filters that may follow {@code |}. */
final class Filters {
    private static final Set<String> NAMES = Set.of(
            "abs",
            "capitalize",
            "default",
            "dictsort",
            "first",
            "float",
            "indent",
            "int",
            "items",
            "join",
            "last",
            "length",
            "list",
            "lower",
            "map",
            "rejectattr",
            "replace",
            "reverse",
            "safe",
            "selectattr",
            "sort",
            "string",
            "title",
            "tojson",
            "trim",
            "unique",
            "upper");
    private static final Pattern INTEGER = Pattern.compile("[+-]?\\d+");
    private static final Pattern DECIMAL = Pattern.compile("[+-]?(?:\\d+\\.?\\d*|\\.\\d+)(?:[eE][+-]?\\d+)?");
    private static final int INDENT_MAX = 64;

    private Filters() {}

    static boolean isFilter(String name) {
        return NAMES.contains(name);
    }

    static Value apply(String name, Value operand, Arguments arguments, Site site) {
        return switch (name) {
            case "safe" -> {
                none(name, arguments, site);
                yield operand;
            }
            case "tojson" -> toJson(operand, arguments, site);
            case "default" -> {
                Arguments.Bound bound = arguments.bind(name, site, "default_value", "boolean");
                yield operand == Value.Absent.UNDEFINED || (bound.flag("boolean") && !operand.truthy())
                        ? bound.values().getOrDefault("default_value", Value.of(""))
                        : operand;
            }
            case "int" -> integer(operand, arguments, site);
            case "float" -> real(operand, arguments, site);
            case "string" -> {
                none(name, arguments, site);
                yield string(operand, site);
            }
            case "length" -> {
                none(name, arguments, site);
                yield switch (operand) {
                    case Value.Str(Text text) -> new Value.Int(text.length());
                    case Value.Sequence sequence ->
                        new Value.Int(sequence.items().size());
                    case Value.Mapping mapping ->
                        new Value.Int(mapping.entries().size());
                    default -> throw mismatch(name, operand, site);
                };
            }
            case "join" -> join(operand, arguments, site);
            case "abs" -> {
                none(name, arguments, site);
                yield switch (operand) {
                    case Value.Int(long number) -> new Value.Int(Math.abs(number));
                    case Value.Real(double number) -> new Value.Real(Math.abs(number));
                    default -> throw mismatch(name, operand, site);
                };
            }
            default ->
                switch (operand) {
                    case Value.Str string -> ofString(name, string, arguments, site);
                    case Value.Sequence sequence -> ofList(name, sequence.items(), arguments, site);
                    case Value.Mapping mapping
                    when name.equals("items") || name.equals("dictsort") ->
                        Members.method(mapping, name, arguments, site);
                    default -> throw mismatch(name, operand, site);
                };
        };
    }

    private static Value ofString(String name, Value.Str string, Arguments arguments, Site site) {
        return switch (name) {
            case "upper", "lower", "title", "capitalize", "replace" -> Members.method(string, name, arguments, site);
            case "trim" -> {
                none(name, arguments, site);
                yield Members.method(string, "strip", arguments, site);
            }
            case "indent" -> indent(string.text(), arguments, site);
            default -> throw mismatch(name, string, site);
        };
    }

    private static Value ofList(String name, List<Value> items, Arguments arguments, Site site) {
        site.budget().steps(items.size(), site.line());
        return switch (name) {
            case "first", "last" -> {
                none(name, arguments, site);
                yield items.isEmpty()
                        ? Value.Absent.UNDEFINED
                        : name.equals("first") ? items.getFirst() : items.getLast();
            }
            case "list" -> {
                none(name, arguments, site);
                yield Value.Sequence.list(items);
            }
            case "reverse" -> {
                none(name, arguments, site);
                yield Value.Sequence.list(new ArrayList<>(items.reversed()));
            }
            case "unique" -> {
                none(name, arguments, site);
                yield unique(items, site);
            }
            case "sort" -> sort(items, arguments, site);
            case "map" -> map(items, arguments, site);
            case "selectattr", "rejectattr" -> select(name, items, arguments, site);
            default -> throw mismatch(name, Value.Sequence.list(items), site);
        };
    }

    private static void none(String name, Arguments arguments, Site site) {
        arguments.bind("the filter '" + name + "'", site);
    }

    private static TemplateException mismatch(String name, Value operand, Site site) {
        return site.failed("the filter '" + name + "' does not apply to " + operand.kind());
    }

    private static Value toJson(Value operand, Arguments arguments, Site site) {
        if (!arguments.positional().isEmpty()) {
            throw site.unsupported("an argument without a name of the filter 'tojson' is not supported");
        }
        Arguments.Bound bound = arguments.bind("tojson", site, "indent", "ensure_ascii", "sort_keys", "separators");
        if (bound.flag("sort_keys")) {
            throw site.unsupported("'sort_keys' of the filter 'tojson' is not supported");
        }
        int indent = bounded(bound.integer("indent").orElse(0L), "tojson", site);
        Text itemSeparator = Text.template(indent > 0 ? "," : ", ");
        Text keySeparator = Text.template(": ");
        if (bound.value("separators").isPresent()) {
            if (!(bound.values().get("separators") instanceof Value.Sequence separators)
                    || separators.items().size() != 2
                    || !(separators.items().get(0) instanceof Value.Str(Text item))
                    || !(separators.items().get(1) instanceof Value.Str(Text key))) {
                throw site.failed("'separators' of the filter 'tojson' must be two strings");
            }
            itemSeparator = item;
            keySeparator = key;
        }
        return new Value.Str(
                new Json("null", indent, bound.flag("ensure_ascii"), itemSeparator, keySeparator, site.builder(), site)
                        .write(operand));
    }

    private static int bounded(long indent, String name, Site site) {
        if (indent < 0 || indent > INDENT_MAX) {
            throw site.failed("the filter '" + name + "' indents by 0 to " + INDENT_MAX + ", not by " + indent);
        }
        return (int) indent;
    }

    private static Value integer(Value operand, Arguments arguments, Site site) {
        Arguments.Bound bound = arguments.bind("int", site, "default");
        return switch (operand) {
            case Value.Str(Text text) -> {
                site.budget().chars(text.length(), site.line());
                Matcher matcher = INTEGER.matcher(text.strip(true, false).chars());
                if (!matcher.lookingAt()) {
                    yield bound.values().getOrDefault("default", new Value.Int(0));
                }
                if (matcher.end() > 17) {
                    throw site.failed("the integer in a string is beyond 2^53");
                }
                yield Numbers.integer(Long.parseLong(matcher.group()), site);
            }
            case Value.Int number -> number;
            case Value.Real(double number) -> {
                if (!(Math.abs(number) <= Numbers.INTEGER_MAX)) {
                    throw site.failed("the float " + Numbers.plain(number) + " has no integer below 2^53");
                }
                yield new Value.Int((long) Math.floor(number));
            }
            case Value.Bool(boolean truth) -> new Value.Int(truth ? 1 : 0);
            default -> throw mismatch("int", operand, site);
        };
    }

    private static Value real(Value operand, Arguments arguments, Site site) {
        Arguments.Bound bound = arguments.bind("float", site, "default");
        return switch (operand) {
            case Value.Str(Text text) -> {
                site.budget().chars(text.length(), site.line());
                Matcher matcher = DECIMAL.matcher(text.strip(true, false).chars());
                yield matcher.lookingAt()
                        ? new Value.Real(Double.parseDouble(matcher.group()))
                        : bound.values().getOrDefault("default", new Value.Real(0));
            }
            case Value.Int(long number) -> new Value.Real(number);
            case Value.Real number -> number;
            case Value.Bool(boolean truth) -> new Value.Real(truth ? 1 : 0);
            default -> throw mismatch("float", operand, site);
        };
    }

    private static Value string(Value operand, Site site) {
        return switch (operand) {
            case Value.Str string -> string;
            case Value.Int(long number) -> Value.of(String.valueOf(number));
            case Value.Real(double number) -> Value.of(Numbers.printed(number));
            case Value.Bool(boolean truth) -> Value.of(String.valueOf(truth));
            case Value.Sequence sequence -> new Value.Str(Json.printed(sequence, site));
            default -> throw mismatch("string", operand, site);
        };
    }

    private static Value join(Value operand, Arguments arguments, Site site) {
        Text separator =
                arguments.bind("join", site, "separator").text("separator").orElse(Text.EMPTY);
        List<Text> parts = switch (operand) {
            case Value.Str(Text text) -> Members.codePoints(text, site);
            case Value.Sequence sequence ->
                sequence.items().stream()
                        .map(item -> item instanceof Value.Absent ? Text.EMPTY : Operators.bare(item, site))
                        .toList();
            default -> throw mismatch("join", operand, site);
        };
        return new Value.Str(Members.joined(parts, separator, site));
    }

    private static Value indent(Text text, Arguments arguments, Site site) {
        Arguments.Bound bound = arguments.bind("indent", site, "width", "first", "blank");
        String indent = " ".repeat(bounded(bound.integer("width").orElse(4L), "indent", site));
        boolean first = bound.flag("first");
        boolean blank = bound.flag("blank");
        TextBuilder result = site.builder();
        int start = 0;
        while (true) {
            int newline = text.chars().indexOf('\n', start);
            int end = newline < 0 ? text.length() : newline;
            if ((start > 0 || first) && (end > start || blank)) {
                result.append(indent);
            }
            result.append(text.slice(start, newline < 0 ? end : end + 1));
            if (newline < 0) {
                return new Value.Str(result.build());
            }
            start = newline + 1;
        }
    }

    private static Value unique(List<Value> items, Site site) {
        Map<Object, Value> seen = new LinkedHashMap<>();
        for (Value item : items) {
            Object key = switch (item) {
                case Value.Str(Text text) -> {
                    site.budget().chars(text.length(), site.line());
                    yield text.chars();
                }
                case Value.Int _, Value.Real _ -> Operators.number(item);
                case Value.Bool _, Value.Absent _ -> item;
                default -> throw site.unsupported("the filter 'unique' on " + item.kind() + " is not supported");
            };
            seen.putIfAbsent(key, item);
        }
        return Value.Sequence.list(new ArrayList<>(seen.values()));
    }

    private static Value sort(List<Value> items, Arguments arguments, Site site) {
        Arguments.Bound bound = arguments.bind("sort", site, "reverse", "case_sensitive", "attribute");
        boolean caseSensitive = bound.flag("case_sensitive");
        int direction = bound.flag("reverse") ? -1 : 1;
        Comparator<Value> order = bound.value("attribute").isEmpty()
                ? (a, b) -> direction * compare(a, b, caseSensitive, site)
                : (a, b) -> {
                    String path = attributePath(bound);
                    return direction * compare(attribute(a, path), attribute(b, path), caseSensitive, site);
                };
        List<Value> sorted = new ArrayList<>(items);
        sorted.sort(order);
        return Value.Sequence.list(sorted);
    }

    private static String attributePath(Arguments.Bound bound) {
        return bound.values().get("attribute") instanceof Value.Int(long index)
                ? String.valueOf(index)
                : bound.requiredText("attribute").chars();
    }

    static int compare(Value a, Value b, boolean caseSensitive, Site site) {
        if (a instanceof Value.Absent && a == b) {
            return 0;
        }
        if (Operators.isNumeric(a) && Operators.isNumeric(b)) {
            site.budget().steps(1, site.line());
            return Double.compare(Operators.number(a), Operators.number(b));
        }
        if (a instanceof Value.Str left && b instanceof Value.Str right) {
            site.budget().chars(16L + left.text().length() + right.text().length(), site.line());
            return caseSensitive
                    ? left.chars().compareTo(right.chars())
                    : left.chars()
                            .toLowerCase(Locale.ROOT)
                            .compareTo(right.chars().toLowerCase(Locale.ROOT));
        }
        throw site.failed("cannot put " + a.kind() + " and " + b.kind() + " in order");
    }

    private static Value map(List<Value> items, Arguments arguments, Site site) {
        if (!arguments.positional().isEmpty()) {
            throw site.unsupported("the filter 'map' is supported with 'attribute' only");
        }
        Arguments.Bound bound = arguments.bind("map", site, "attribute", "default");
        String path = bound.requiredText("attribute").chars();
        Value defaultValue = bound.values().getOrDefault("default", Value.Absent.UNDEFINED);
        List<Value> mapped = new ArrayList<>(items.size());
        for (Value item : items) {
            if (!(item instanceof Value.Mapping || item instanceof Value.Namespace)) {
                throw mismatch("map", item, site);
            }
            Value value = attribute(item, path);
            mapped.add(value == Value.Absent.UNDEFINED ? defaultValue : value);
        }
        return Value.Sequence.list(mapped);
    }

    /** The value at a path such as {@code function.name} or {@code parts.0}. */
    private static Value attribute(Value item, String path) {
        Value value = item;
        for (String part : path.split("\\.", -1)) {
            value = switch (value) {
                case Value.Mapping mapping -> mapping.get(part);
                case Value.Namespace namespace -> namespace.entries().getOrDefault(part, Value.Absent.UNDEFINED);
                case Value.Sequence(List<Value> items, boolean _)
                when part.matches("\\d{1,9}") -> {
                    int index = Integer.parseInt(part);
                    yield index < items.size() ? items.get(index) : Value.Absent.UNDEFINED;
                }
                default -> Value.Absent.UNDEFINED;
            };
        }
        return value;
    }

    private static Value select(String name, List<Value> items, Arguments arguments, Site site) {
        Arguments.Bound bound = arguments.bind(name, site, "attribute", "test", "value");
        String attribute = bound.requiredText("attribute").chars();
        if (attribute.contains(".")) {
            throw site.unsupported("a path as attribute of the filter '" + name + "' is not supported");
        }
        String test = bound.text("test").map(Text::chars).orElse("");
        boolean compares = test.equals("equalto") || test.equals("eq");
        if (!test.isEmpty() && !compares && !Tests.isTest(test)) {
            throw site.unsupported("the test '" + test + "' of the filter '" + name + "' is not supported");
        }
        Value wanted = compares ? new Value.Str(bound.requiredText("value")) : Value.Absent.NONE;
        boolean keeps = name.equals("selectattr");
        List<Value> selected = new ArrayList<>();
        for (Value item : items) {
            Value value = switch (item) {
                case Value.Mapping mapping -> mapping.get(attribute);
                case Value.Namespace namespace -> namespace.entries().getOrDefault(attribute, Value.Absent.UNDEFINED);
                default -> throw mismatch(name, item, site);
            };
            boolean passes = value != Value.Absent.UNDEFINED
                    && (compares
                            ? Operators.same(value, wanted, site)
                            : test.isEmpty() ? value.truthy() : Tests.test(test, value, site));
            if (passes == keeps) {
                selected.add(item);
            }
        }
        return Value.Sequence.list(selected);
    }
}
