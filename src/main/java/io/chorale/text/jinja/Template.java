package io.chorale.text.jinja;

import java.time.Clock;
import java.util.List;
import java.util.Map;

/** A parsed template. Immutable; may be rendered by many threads at once. */
public final class Template {
    private final List<Stmt> program;
    private final Limits limits;
    private final Clock clock;

    private Template(List<Stmt> program, Limits limits, Clock clock) {
        this.program = program;
        this.limits = limits;
        this.clock = clock;
    }

    /** {@code clock} tells {@code strftime_now} the time. */
    public static Template parse(String source, Limits limits, Clock clock) {
        return new Template(Parser.parse(source, limits), limits, clock);
    }

    /**
     * Renders the template with variables of two origins: {@code own}, such as the special tokens of the model, which
     * are as good as the template's own text, and {@code content}, which came with a request. Values are strings,
     * booleans, integers, floats, lists, maps and null, or what {@link #own(String)} made of a string.
     */
    public Text render(Map<String, ?> own, Map<String, ?> content) {
        Scope globals = Builtins.scope(clock);
        Scope variables = new Scope(globals);
        content.forEach((name, value) -> variables.set(name, Value.of(value, true)));
        own.forEach((name, value) -> variables.set(name, Value.of(value, false)));
        return new Interpreter(new Budget(limits)).render(program, variables);
    }

    /** A string within a content value that is as good as the template's own text: a message's role. */
    public static Object own(String text) {
        return Value.of(text);
    }
}
