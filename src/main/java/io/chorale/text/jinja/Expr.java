package io.chorale.text.jinja;

import java.util.List;
import java.util.Map;
import java.util.Optional;

/** An expression of a template. */
sealed interface Expr {
    int line();

    record Literal(Value value, int line) implements Expr {}

    record Name(String name, int line) implements Expr {}

    record ListLiteral(List<Expr> items, boolean tuple, int line) implements Expr {}

    record MappingLiteral(List<Map.Entry<Expr, Expr>> entries, int line) implements Expr {}

    record Not(Expr operand, int line) implements Expr {}

    record Sign(boolean minus, Expr operand, int line) implements Expr {}

    record Binary(Operator operator, Expr left, Expr right, int line) implements Expr {}

    record Test(Expr operand, String name, boolean negated, int line) implements Expr {}

    record Filter(Expr operand, FilterCall filter, int line) implements Expr {}

    record Member(Expr object, String name, int line) implements Expr {}

    record Index(Expr object, Expr index, int line) implements Expr {}

    record Slice(Expr object, Optional<Expr> start, Optional<Expr> stop, Optional<Expr> step, int line)
            implements Expr {}

    record Call(Expr callee, ArgumentList arguments, int line) implements Expr {}

    record Conditional(Expr test, Expr then, Optional<Expr> otherwise, int line) implements Expr {}

    /** The arguments as they are written. */
    record ArgumentList(List<Expr> positional, Map<String, Expr> named) {
        static final ArgumentList EMPTY = new ArgumentList(List.of(), Map.of());
    }

    /** A filter's name, checked when the template is parsed, and what it is given besides its operand. */
    record FilterCall(String name, ArgumentList arguments) {}

    /** What stands between two operands. */
    enum Operator {
        OR("or"),
        AND("and"),
        EQUAL("=="),
        NOT_EQUAL("!="),
        LESS("<"),
        LESS_EQUAL("<="),
        GREATER(">"),
        GREATER_EQUAL(">="),
        IN("in"),
        NOT_IN("not in"),
        ADD("+"),
        SUBTRACT("-"),
        CONCATENATE("~"),
        MULTIPLY("*"),
        DIVIDE("/"),
        FLOOR_DIVIDE("//"),
        MODULO("%"),
        POWER("**");

        private final String symbol;

        Operator(String symbol) {
            this.symbol = symbol;
        }

        String symbol() {
            return symbol;
        }

        static Operator of(String symbol) {
            for (Operator operator : values()) {
                if (operator.symbol.equals(symbol)) {
                    return operator;
                }
            }
            throw new IllegalArgumentException("no operator: " + symbol);
        }
    }
}
