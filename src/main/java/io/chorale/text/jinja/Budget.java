package io.chorale.text.jinja;

import io.chorale.text.jinja.TemplateException.Kind;

/** What one rendering has still to spend: a template that comes with a model must not be able to hold up the server. */
final class Budget {
    private final Limits limits;
    private long steps;
    private long chars;
    private int nesting;

    Budget(Limits limits) {
        this.limits = limits;
    }

    void enter(int line) {
        if (++nesting > limits.nestingMax()) {
            throw TemplateException.at(
                    Kind.LIMIT, line, "nested deeper than " + limits.nestingMax() + " levels while rendering");
        }
        steps(1, line);
    }

    void leave() {
        nesting--;
    }

    void steps(long count, int line) {
        steps += count;
        if (steps > limits.stepsMax()) {
            throw TemplateException.at(Kind.LIMIT, line, "rendering takes more than " + limits.stepsMax() + " steps");
        }
    }

    void chars(long count, int line) {
        chars += count;
        if (chars > limits.charsMax()) {
            throw TemplateException.at(
                    Kind.LIMIT, line, "rendering handles more than " + limits.charsMax() + " characters");
        }
    }

    /** Searching may compare a long needle again and again: charge for that, little for the short ones of real life. */
    void search(int haystackChars, int needleChars, int line) {
        chars(haystackChars + (long) haystackChars * needleChars / 64, line);
    }
}
