package io.chorale.text.jinja;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/** What can be had of a value by {@code value.name}, {@code value[index]} and slices. */
final class Members {
    private static final Set<String> STRING_METHODS = Set.of(
            "upper",
            "lower",
            "title",
            "capitalize",
            "strip",
            "lstrip",
            "rstrip",
            "startswith",
            "endswith",
            "split",
            "replace");
    private static final Set<String> MAPPING_METHODS = Set.of("get", "items", "keys", "values", "dictsort");

    private Members() {}

    static Value member(Value object, String name) {
        return switch (object) {
            case Value.Mapping mapping -> {
                Value entry = mapping.get(name);
                yield entry == Value.Absent.UNDEFINED && MAPPING_METHODS.contains(name)
                        ? new Value.Function(name, (arguments, scope, site) -> method(mapping, name, arguments, site))
                        : entry;
            }
            case Value.Namespace namespace -> namespace.entries().getOrDefault(name, Value.Absent.UNDEFINED);
            case Value.Str string
            when name.equals("length") -> new Value.Int(string.text().length());
            case Value.Str string
            when STRING_METHODS.contains(name) ->
                new Value.Function(name, (arguments, scope, site) -> method(string, name, arguments, site));
            case Value.Sequence sequence
            when name.equals("length") -> new Value.Int(sequence.items().size());
            case Value.Sequence sequence
            when name.equals("append") && !sequence.tuple() ->
                new Value.Function(name, (arguments, scope, site) -> append(sequence.items(), arguments, site));
            default -> Value.Absent.UNDEFINED;
        };
    }

    static Value index(Value object, Value index, Site site) {
        return switch (index) {
            case Value.Str name -> member(object, name.chars());
            case Value.Int(long number)
            when object instanceof Value.Sequence(List<Value> items, boolean _) -> {
                long position = number < 0 ? items.size() + number : number;
                yield position >= 0 && position < items.size() ? items.get((int) position) : Value.Absent.UNDEFINED;
            }
            case Value.Int(long number)
            when object instanceof Value.Str(Text text) -> {
                long position = number < 0 ? text.length() + number : number;
                yield position >= 0 && position < text.length()
                        ? new Value.Str(text.slice((int) position, (int) position + 1))
                        : Value.Absent.UNDEFINED;
            }
            default -> throw site.failed(index.kind() + " is no index of " + object.kind());
        };
    }

    static Value slice(Value object, Value start, Value stop, Value step, Site site) {
        return switch (object) {
            case Value.Sequence(List<Value> items, boolean _) ->
                Value.Sequence.list(slice(items, start, stop, step, site));
            case Value.Str(Text text) ->
                new Value.Str(joined(slice(codePoints(text, site), start, stop, step, site), Text.EMPTY, site));
            default -> throw site.failed("cannot take a slice of " + object.kind());
        };
    }

    /** As Python slices: bounds may be negative or out of range, and a negative step walks backwards. */
    private static <T> List<T> slice(List<T> items, Value start, Value stop, Value step, Site site) {
        int size = items.size();
        long stride = bound(step, 1, site);
        if (stride == 0) {
            throw site.failed("the step of a slice is zero");
        }
        boolean forward = stride > 0;
        long first = clamp(bound(start, forward ? 0 : Long.MAX_VALUE, site), size, forward);
        long end = stop == Value.Absent.UNDEFINED && !forward
                ? -1
                : clamp(bound(stop, Long.MAX_VALUE, site), size, forward);
        List<T> slice = new ArrayList<>();
        for (long i = first; forward ? i < end : i > end; i += stride) {
            site.budget().steps(1, site.line());
            slice.add(items.get((int) i));
        }
        return slice;
    }

    private static long bound(Value value, long missing, Site site) {
        return switch (value) {
            case Value.Int(long number) -> number;
            case Value.Absent absent when absent == Value.Absent.UNDEFINED -> missing;
            default -> throw site.failed("a slice needs integers, not " + value.kind());
        };
    }

    private static long clamp(long bound, int size, boolean forward) {
        long position = bound < 0 ? bound + size : bound;
        return forward ? Math.clamp(position, 0, size) : Math.clamp(position, -1, size - 1);
    }

    private static Value append(List<Value> items, Arguments arguments, Site site) {
        Value item = arguments.bind("append", site, "item").values().get("item");
        if (item == null) {
            throw site.failed("append needs an item");
        }
        items.add(item);
        return Value.Absent.NONE;
    }

    static Value method(Value.Str string, String name, Arguments arguments, Site site) {
        Text text = string.text();
        site.budget().chars(text.length(), site.line());
        return switch (name) {
            case "upper", "lower", "title", "capitalize" -> {
                arguments.bind(name, site);
                yield new Value.Str(
                        switch (name) {
                            case "upper" -> text.map(run -> run.toUpperCase(Locale.ROOT), site);
                            case "lower" -> text.map(run -> run.toLowerCase(Locale.ROOT), site);
                            case "title" -> title(text, site);
                            default -> capitalized(text, 0, Math.min(1, text.length()), site);
                        });
            }
            case "strip", "lstrip", "rstrip" -> {
                arguments.bind(name, site, "chars").text("chars").ifPresent(chars -> {
                    if (!chars.strip(true, false).isEmpty()) {
                        throw site.unsupported("'" + name + "' of anything but white space is not supported");
                    }
                });
                yield new Value.Str(text.strip(!name.equals("rstrip"), !name.equals("lstrip")));
            }
            case "startswith", "endswith" -> {
                Value affix = arguments.bind(name, site, "affix").values().get("affix");
                yield Value.of(hasAffix(text.chars(), name, affix == null ? Value.Absent.NONE : affix, site));
            }
            case "split" -> split(text, arguments, site);
            case "replace" -> {
                Arguments.Bound bound = arguments.bind(name, site, "old", "new", "count");
                long count = bound.integer("count").orElse(-1L);
                yield new Value.Str(replace(text, bound.requiredText("old"), bound.requiredText("new"), count, site));
            }
            default -> throw site.unsupported("the method '" + name + "' is not supported");
        };
    }

    private static boolean hasAffix(String chars, String name, Value affix, Site site) {
        return switch (affix) {
            case Value.Str string ->
                name.equals("startswith") ? chars.startsWith(string.chars()) : chars.endsWith(string.chars());
            case Value.Sequence(List<Value> items, boolean _) -> {
                site.budget().steps(items.size(), site.line());
                boolean found = false;
                for (Value item : items) {
                    if (!(item instanceof Value.Str)) {
                        throw site.failed("'" + name + "' needs strings, not " + item.kind());
                    }
                    found |= hasAffix(chars, name, item, site);
                }
                yield found;
            }
            default -> throw site.failed("'" + name + "' needs a string, not " + affix.kind());
        };
    }

    static Value method(Value.Mapping mapping, String name, Arguments arguments, Site site) {
        site.budget().steps(mapping.entries().size(), site.line());
        return switch (name) {
            case "get" -> {
                Arguments.Bound bound = arguments.bind(name, site, "key", "default");
                Value entry = mapping.get(bound.requiredText("key").chars());
                yield entry == Value.Absent.UNDEFINED
                        ? bound.values().getOrDefault("default", Value.Absent.NONE)
                        : entry;
            }
            case "keys" -> {
                arguments.bind(name, site);
                yield keys(mapping);
            }
            case "values" -> {
                arguments.bind(name, site);
                yield Value.Sequence.list(new ArrayList<>(mapping.entries().values()));
            }
            case "items" -> {
                arguments.bind(name, site);
                yield Value.Sequence.list(pairs(mapping));
            }
            case "dictsort" -> {
                Arguments.Bound bound = arguments.bind(name, site, "case_sensitive", "by", "reverse");
                String by = bound.text("by").map(Text::chars).orElse("key");
                if (!by.equals("key") && !by.equals("value")) {
                    throw site.failed("'by' of dictsort must be 'key' or 'value'");
                }
                int index = by.equals("key") ? 0 : 1;
                int direction = bound.flag("reverse") ? -1 : 1;
                boolean caseSensitive = bound.flag("case_sensitive");
                Comparator<Value> order = (a, b) ->
                        direction * Filters.compare(pairItem(a, index), pairItem(b, index), caseSensitive, site);
                List<Value> pairs = pairs(mapping);
                pairs.sort(order);
                yield Value.Sequence.list(pairs);
            }
            default -> throw site.unsupported("the method '" + name + "' is not supported");
        };
    }

    static Value.Sequence keys(Value.Mapping mapping) {
        List<Value> keys = new ArrayList<>(mapping.entries().size());
        mapping.entries().keySet().forEach(key -> keys.add(mapping.key(key)));
        return Value.Sequence.list(keys);
    }

    private static List<Value> pairs(Value.Mapping mapping) {
        List<Value> pairs = new ArrayList<>(mapping.entries().size());
        for (Map.Entry<String, Value> entry : mapping.entries().entrySet()) {
            pairs.add(Value.Sequence.list(new ArrayList<>(List.of(mapping.key(entry.getKey()), entry.getValue()))));
        }
        return pairs;
    }

    private static Value pairItem(Value pair, int index) {
        return ((Value.Sequence) pair).items().get(index);
    }

    /** Each ASCII word begins with a capital and is otherwise left as it is. */
    private static Text title(Text text, Site site) {
        Text result = text;
        boolean inWord = false;
        TextBuilder out = site.builder();
        int copied = 0;
        for (int i = 0; i < text.length(); i++) {
            char c = text.chars().charAt(i);
            boolean word = c == '_' || (c < 0x80 && Character.isLetterOrDigit(c));
            if (word && !inWord) {
                out.append(result.slice(copied, i)).append(capital(text, i, site));
                copied = i + 1;
            }
            inWord = word;
        }
        return out.append(text.slice(copied, text.length())).build();
    }

    private static Text capital(Text text, int index, Site site) {
        return text.slice(index, index + 1).map(run -> run.toUpperCase(Locale.ROOT), site);
    }

    private static Text capitalized(Text text, int start, int end, Site site) {
        return site.builder()
                .append(text.slice(start, end).map(run -> run.toUpperCase(Locale.ROOT), site))
                .append(text.slice(end, text.length()))
                .build();
    }

    private static Value split(Text text, Arguments arguments, Site site) {
        Arguments.Bound bound = arguments.bind("split", site, "sep", "maxsplit");
        long splitsMax = bound.integer("maxsplit").orElse(-1L);
        List<Text> parts = bound.value("sep").isPresent()
                ? splitAt(text, bound.requiredText("sep").chars(), splitsMax, site)
                : words(text.strip(true, false), splitsMax, site);
        List<Value> values = new ArrayList<>(parts.size());
        parts.forEach(part -> values.add(new Value.Str(part)));
        return Value.Sequence.list(values);
    }

    private static List<Text> splitAt(Text text, String separator, long splitsMax, Site site) {
        if (separator.isEmpty()) {
            throw site.failed("'split' needs a separator that is not empty");
        }
        site.budget().search(text.length(), separator.length(), site.line());
        List<Text> parts = new ArrayList<>();
        int start = 0;
        while (splitsMax < 0 || parts.size() < splitsMax) {
            int found = text.chars().indexOf(separator, start);
            if (found < 0) {
                break;
            }
            site.budget().steps(1, site.line());
            parts.add(text.slice(start, found));
            start = found + separator.length();
        }
        parts.add(text.slice(start, text.length()));
        return parts;
    }

    private static List<Text> words(Text text, long splitsMax, Site site) {
        List<Text> words = new ArrayList<>();
        int position = 0;
        while (true) {
            while (position < text.length() && Text.isSpace(text.chars().charAt(position))) {
                position++;
            }
            if (position == text.length()) {
                return words;
            }
            if (splitsMax >= 0 && words.size() >= splitsMax) {
                words.add(text.slice(position, text.length()));
                return words;
            }
            int start = position;
            while (position < text.length() && !Text.isSpace(text.chars().charAt(position))) {
                position++;
            }
            site.budget().steps(1, site.line());
            words.add(text.slice(start, position));
        }
    }

    /** Replaces {@code count} times, or everywhere if that is negative; nothing is found before every character. */
    private static Text replace(Text text, Text old, Text replacement, long count, Site site) {
        site.budget().search(text.length(), old.length(), site.line());
        TextBuilder result = site.builder();
        String chars = text.chars();
        int copied = 0;
        int search = 0;
        for (long done = 0; done != count; done++) {
            int found = search > chars.length() ? -1 : chars.indexOf(old.chars(), search);
            if (found < 0) {
                break;
            }
            result.append(text.slice(copied, found)).append(replacement);
            site.budget().steps(1, site.line());
            copied = found + old.length();
            search = old.isEmpty() ? found + (found < chars.length() ? width(chars, found) : 1) : copied;
        }
        return result.append(text.slice(copied, text.length())).build();
    }

    private static int width(String chars, int index) {
        return Character.charCount(chars.codePointAt(index));
    }

    static List<Text> codePoints(Text text, Site site) {
        site.budget().steps(text.length(), site.line());
        List<Text> codePoints = new ArrayList<>(text.length());
        for (int i = 0; i < text.length(); ) {
            int next = i + width(text.chars(), i);
            codePoints.add(text.slice(i, next));
            i = next;
        }
        return codePoints;
    }

    static Text joined(List<Text> parts, Text separator, Site site) {
        TextBuilder result = site.builder();
        for (int i = 0; i < parts.size(); i++) {
            if (i > 0) {
                result.append(separator);
            }
            result.append(parts.get(i));
        }
        return result.build();
    }
}
