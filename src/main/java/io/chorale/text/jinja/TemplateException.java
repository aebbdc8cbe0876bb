package io.chorale.text.jinja;

/** A template that cannot be parsed or rendered; the message names the construct and its line. */
public final class TemplateException extends RuntimeException {
    /** What is wrong. */
    public enum Kind {
        /** The template is not well-formed. */
        SYNTAX,
        /** The template uses a construct that this interpreter does not know, and which it does not guess. */
        UNSUPPORTED,
        /** An operation does not fit the values it was given. */
        FAILED,
        /** A bound on nesting, steps or characters was reached. */
        LIMIT,
        /** The template itself refused the messages, by {@code raise_exception}. */
        RAISED
    }

    private final Kind kind;
    private final int line;

    private TemplateException(Kind kind, int line, String message) {
        super(message);
        this.kind = kind;
        this.line = line;
    }

    static TemplateException at(Kind kind, int line, String message) {
        return new TemplateException(kind, line, "chat template, line " + line + ": " + message);
    }

    /** The template's own words, as they were given to {@code raise_exception}. */
    static TemplateException raised(int line, String message) {
        return new TemplateException(Kind.RAISED, line, message);
    }

    public Kind kind() {
        return kind;
    }

    /** The line of the template, from 1. */
    public int line() {
        return line;
    }
}
