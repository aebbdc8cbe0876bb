package io.chorale.text.jinja;

import java.util.List;
import java.util.Optional;

/** A statement of a template, or the text between two. */
sealed interface Stmt {
    int line();

    record Literal(String text, int line) implements Stmt {}

    record Output(Expr value, int line) implements Stmt {}

    /** {@code if} and its {@code elif}s, in order, then {@code else}. */
    record If(List<Branch> branches, List<Stmt> otherwise, int line) implements Stmt {}

    record Branch(Expr test, List<Stmt> body) {}

    record For(Target target, Expr iterable, Optional<Expr> condition, List<Stmt> body, List<Stmt> otherwise, int line)
            implements Stmt {}

    record Set(Target target, Expr value, int line) implements Stmt {}

    record SetBlock(Target target, List<Stmt> body, int line) implements Stmt {}

    record Macro(String name, List<Parameter> parameters, List<Stmt> body, int line) implements Stmt {}

    /** {@code {% call(parameters) callee(arguments) %}body{% endcall %}}. */
    record CallBlock(
            List<Parameter> parameters, Expr.Name callee, Expr.ArgumentList arguments, List<Stmt> body, int line)
            implements Stmt {}

    record FilterBlock(Expr.FilterCall filter, List<Stmt> body, int line) implements Stmt {}

    record Break(int line) implements Stmt {}

    record Continue(int line) implements Stmt {}

    record Parameter(String name, Optional<Expr> defaultValue) {}

    /** What a {@code set} or a loop assigns to. */
    sealed interface Target {
        record Variable(String name) implements Target {}

        record Unpacked(List<String> names) implements Target {}

        record Attribute(Expr object, String name) implements Target {}
    }
}
