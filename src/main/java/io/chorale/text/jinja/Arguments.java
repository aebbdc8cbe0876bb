package io.chorale.text.jinja;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Evaluated arguments of a call or filter. */
record Arguments(List<Value> positional, Map<String, Value> named) {
    static final Arguments NONE = new Arguments(List.of(), Map.of());

    /** Gives the arguments their names, and refuses what the function called {@code name} does not take. */
    Bound bind(String name, Site site, String... parameters) {
        if (positional.size() > parameters.length) {
            throw site.failed(
                    name + " takes at most " + parameters.length + " arguments, but was given " + positional.size());
        }
        Map<String, Value> values = new HashMap<>();
        for (int i = 0; i < positional.size(); i++) {
            values.put(parameters[i], positional.get(i));
        }
        named.forEach((key, value) -> {
            if (!List.of(parameters).contains(key)) {
                throw site.unsupported(name + " has no argument '" + key + "'");
            }
            if (values.put(key, value) != null) {
                throw site.failed(name + " was given '" + key + "' twice");
            }
        });
        return new Bound(name, values, site);
    }

    /** Arguments by name; an argument that is {@code none} counts as not given. */
    record Bound(String name, Map<String, Value> values, Site site) {
        Optional<Value> value(String parameter) {
            return Optional.ofNullable(values.get(parameter)).filter(value -> value != Value.Absent.NONE);
        }

        Optional<Text> text(String parameter) {
            return value(parameter).map(value -> switch (value) {
                case Value.Str(Text text) -> text;
                default -> throw mismatch(parameter, "a string", value);
            });
        }

        Text requiredText(String parameter) {
            return text(parameter).orElseThrow(() -> site.failed(name + " needs a string for '" + parameter + "'"));
        }

        Optional<Long> integer(String parameter) {
            return value(parameter).map(value -> switch (value) {
                case Value.Int(long number) -> number;
                default -> throw mismatch(parameter, "an integer", value);
            });
        }

        boolean flag(String parameter) {
            return value(parameter)
                    .map(value -> switch (value) {
                        case Value.Bool(boolean truth) -> truth;
                        default -> throw mismatch(parameter, "a boolean", value);
                    })
                    .orElse(false);
        }

        private TemplateException mismatch(String parameter, String expected, Value actual) {
            return site.failed(name + " needs " + expected + " for '" + parameter + "', not " + actual.kind());
        }
    }
}
