package io.chorale.text.jinja;

import java.time.Clock;
import java.time.ZonedDateTime;
import java.time.format.TextStyle;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** The names that every template knows. */
final class Builtins {
    private Builtins() {}

    static Scope scope(Clock clock) {
        Scope scope = new Scope(null);
        for (boolean truth : new boolean[] {true, false}) {
            scope.set(String.valueOf(truth), Value.of(truth));
            scope.set(truth ? "True" : "False", Value.of(truth));
        }
        scope.set("none", Value.Absent.NONE);
        scope.set("None", Value.Absent.NONE);
        function(scope, "namespace", (arguments, caller, site) -> namespace(arguments, site));
        function(scope, "range", (arguments, caller, site) -> range(arguments, site));
        function(scope, "raise_exception", (arguments, caller, site) -> {
            Text message = arguments.bind("raise_exception", site, "message").requiredText("message");
            throw TemplateException.raised(site.line(), message.chars());
        });
        function(scope, "strftime_now", (arguments, caller, site) -> {
            Text format = arguments.bind("strftime_now", site, "format").requiredText("format");
            return Value.of(formatted(ZonedDateTime.now(clock), format.chars(), site));
        });
        return scope;
    }

    private static void function(Scope scope, String name, Value.Function.Body body) {
        scope.set(name, new Value.Function(name, body));
    }

    private static Value namespace(Arguments arguments, Site site) {
        Map<String, Value> entries = new LinkedHashMap<>();
        if (arguments.positional().size() > 1) {
            throw site.failed("namespace takes at most one argument without a name");
        }
        for (Value source : arguments.positional()) {
            if (!(source instanceof Value.Mapping mapping)) {
                throw site.unsupported("a namespace made from " + source.kind() + " is not supported");
            }
            site.budget().steps(mapping.entries().size(), site.line());
            entries.putAll(mapping.entries());
        }
        entries.putAll(arguments.named());
        return new Value.Namespace(entries);
    }

    private static Value range(Arguments arguments, Site site) {
        List<Long> bounds = new ArrayList<>();
        for (Value bound : arguments.positional()) {
            if (!(bound instanceof Value.Int(long number))) {
                throw site.failed("range needs integers, not " + bound.kind());
            }
            bounds.add(number);
        }
        if (bounds.isEmpty() || bounds.size() > 3 || !arguments.named().isEmpty()) {
            throw site.failed("range takes one to three integers");
        }
        long start = bounds.size() == 1 ? 0 : bounds.get(0);
        long stop = bounds.size() == 1 ? bounds.get(0) : bounds.get(1);
        long step = bounds.size() == 3 ? bounds.get(2) : 1;
        if (step == 0) {
            throw site.failed("the step of range is zero");
        }
        List<Value> items = new ArrayList<>();
        for (long i = start; step > 0 ? i < stop : i > stop; i += step) {
            site.budget().steps(1, site.line());
            items.add(new Value.Int(i));
        }
        return Value.Sequence.list(items);
    }

    private static String formatted(ZonedDateTime now, String format, Site site) {
        StringBuilder result = new StringBuilder();
        boolean directive = false;
        for (int i = 0; i < format.length(); i++) {
            char c = format.charAt(i);
            if (!directive) {
                directive = c == '%';
                result.append(directive ? "" : c);
                continue;
            }
            directive = false;
            switch (c) {
                case 'Y' -> result.append(now.getYear());
                case 'm' -> result.append(twoDigits(now.getMonthValue()));
                case 'd' -> result.append(twoDigits(now.getDayOfMonth()));
                case 'b' -> result.append(now.getMonth().getDisplayName(TextStyle.SHORT, Locale.US));
                case 'B' -> result.append(now.getMonth().getDisplayName(TextStyle.FULL, Locale.US));
                case 'H' -> result.append(twoDigits(now.getHour()));
                case 'M' -> result.append(twoDigits(now.getMinute()));
                case '%' -> result.append('%');
                default -> throw site.unsupported("'%" + c + "' in strftime_now is not supported");
            }
        }
        if (directive) {
            throw site.unsupported("a '%' at the end of strftime_now is not supported");
        }
        return result.toString();
    }

    private static String twoDigits(int number) {
        return number < 10 ? "0" + number : String.valueOf(number);
    }
}
