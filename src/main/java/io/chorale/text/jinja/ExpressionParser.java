package io.chorale.text.jinja;

import io.chorale.text.jinja.Expr.ArgumentList;
import io.chorale.text.jinja.Expr.FilterCall;
import io.chorale.text.jinja.Expr.Operator;
import io.chorale.text.jinja.TemplateException.Kind;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * Parses expressions. From loosest to tightest: {@code if else}, {@code or}, {@code and}, {@code not}, comparison and
 * {@code in}, {@code + - ~}, {@code * / // %}, {@code **}, {@code is}, filters, signs, calls and members.
 */
abstract class ExpressionParser {
    private static final Set<String> COMPARISONS = Set.of("==", "!=", "<", "<=", ">", ">=");
    private static final Set<String> LOOP_ATTRIBUTES =
            Set.of("index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem");

    private final List<Token> tokens;
    private final int nestingMax;
    private int current;
    private int nesting;

    ExpressionParser(List<Token> tokens, int nestingMax) {
        this.tokens = tokens;
        this.nestingMax = nestingMax;
    }

    /** Refuses a variable that means something here which is not supported. */
    abstract void checkName(Token name);

    final Expr expression() {
        enter();
        Expr then = or();
        int line = peek().line();
        Expr result = then;
        if (acceptName("if")) {
            Expr test = or();
            Optional<Expr> otherwise = acceptName("else") ? Optional.of(expression()) : Optional.empty();
            result = new Expr.Conditional(test, then, otherwise, line);
        }
        leave();
        return result;
    }

    final Expr expressionOrTuple() {
        int line = peek().line();
        Expr first = expression();
        if (!isSymbol(",")) {
            return first;
        }
        List<Expr> items = new ArrayList<>(List.of(first));
        while (acceptSymbol(",")) {
            items.add(expression());
        }
        return new Expr.ListLiteral(items, true, line);
    }

    private Expr or() {
        Expr left = and();
        while (isName("or")) {
            int line = next().line();
            left = new Expr.Binary(Operator.OR, left, and(), line);
        }
        return left;
    }

    private Expr and() {
        Expr left = not();
        while (isName("and")) {
            int line = next().line();
            left = new Expr.Binary(Operator.AND, left, not(), line);
        }
        return left;
    }

    private Expr not() {
        if (!isName("not")) {
            return comparison();
        }
        int line = next().line();
        enter();
        Expr operand = not();
        leave();
        return new Expr.Not(operand, line);
    }

    private Expr comparison() {
        Expr left = additive();
        while (true) {
            Token token = peek();
            Operator operator;
            if (isName("not") && peek(1).is(TokenType.NAME, "in")) {
                next();
                operator = Operator.NOT_IN;
            } else if (isName("in")) {
                operator = Operator.IN;
            } else if (token.type() == TokenType.SYMBOL && COMPARISONS.contains(token.text())) {
                operator = Operator.of(token.text());
            } else {
                return left;
            }
            next();
            left = new Expr.Binary(operator, left, additive(), token.line());
        }
    }

    private Expr additive() {
        Expr left = multiplicative();
        while (isSymbol("+") || isSymbol("-") || isSymbol("~")) {
            Token token = next();
            left = new Expr.Binary(Operator.of(token.text()), left, multiplicative(), token.line());
        }
        return left;
    }

    private Expr multiplicative() {
        Expr left = power();
        while (isSymbol("*") || isSymbol("/") || isSymbol("//") || isSymbol("%")) {
            Token token = next();
            left = new Expr.Binary(Operator.of(token.text()), left, power(), token.line());
        }
        return left;
    }

    private Expr power() {
        Expr left = test();
        while (isSymbol("**")) {
            int line = next().line();
            left = new Expr.Binary(Operator.POWER, left, test(), line);
        }
        return left;
    }

    private Expr test() {
        Expr operand = filtered();
        while (isName("is")) {
            int line = next().line();
            boolean negated = acceptName("not");
            Token token = peek();
            String name = name("the name of a test");
            if (!Tests.isTest(name)) {
                throw error(Kind.UNSUPPORTED, token.line(), "the test 'is " + name + "' is not supported");
            }
            if (isSymbol("(")) {
                throw error(Kind.UNSUPPORTED, line, "an argument of the test 'is " + name + "' is not supported");
            }
            operand = new Expr.Test(operand, name, negated, line);
        }
        return operand;
    }

    private Expr filtered() {
        Expr operand = signed();
        while (isSymbol("|")) {
            int line = next().line();
            operand = new Expr.Filter(operand, filterCall(), line);
        }
        return operand;
    }

    final FilterCall filterCall() {
        int line = peek().line();
        String name = name("the name of a filter");
        if (!Filters.isFilter(name)) {
            throw error(Kind.UNSUPPORTED, line, "the filter '" + name + "' is not supported");
        }
        ArgumentList arguments = isSymbol("(") ? arguments() : ArgumentList.EMPTY;
        if (isSymbol(".") || isSymbol("[") || isSymbol("(")) {
            throw unexpected("the end of the filter '" + name + "'; put what is filtered into parentheses");
        }
        return new FilterCall(name, arguments);
    }

    private Expr signed() {
        if (!isSymbol("-") && !isSymbol("+")) {
            return callOrMember();
        }
        Token sign = next();
        enter();
        Expr operand = signed();
        leave();
        return new Expr.Sign(sign.text().equals("-"), operand, sign.line());
    }

    private Expr callOrMember() {
        Expr object = primary();
        while (true) {
            int line = peek().line();
            if (acceptSymbol(".")) {
                object = member(object, line);
            } else if (acceptSymbol("[")) {
                object = subscript(object, line);
            } else if (isSymbol("(")) {
                object = new Expr.Call(object, arguments(), line);
            } else {
                return object;
            }
        }
    }

    private Expr member(Expr object, int line) {
        Token token = peek();
        if (token.type() == TokenType.NUMBER) {
            return new Expr.Index(object, number(), line);
        }
        String name = name("the name of an attribute");
        if (object instanceof Expr.Name(String variable, int ignored)
                && variable.equals("loop")
                && !LOOP_ATTRIBUTES.contains(name)) {
            throw error(Kind.UNSUPPORTED, line, "'loop." + name + "' is not supported");
        }
        return new Expr.Member(object, name, line);
    }

    /** What stands in brackets after a value: an index, or a slice of two or three parts. */
    private Expr subscript(Expr object, int line) {
        List<Optional<Expr>> parts = new ArrayList<>();
        parts.add(slicePart());
        while (acceptSymbol(":")) {
            parts.add(slicePart());
        }
        expectSymbol("]");
        return switch (parts.size()) {
            case 1 ->
                new Expr.Index(
                        object,
                        parts.getFirst().orElseThrow(() -> error(Kind.SYNTAX, line, "an index is missing in '[]'")),
                        line);
            case 2 -> new Expr.Slice(object, parts.get(0), parts.get(1), Optional.empty(), line);
            case 3 -> new Expr.Slice(object, parts.get(0), parts.get(1), parts.get(2), line);
            default -> throw error(Kind.SYNTAX, line, "a slice has at most three parts");
        };
    }

    private Optional<Expr> slicePart() {
        return isSymbol(":") || isSymbol("]") ? Optional.empty() : Optional.of(expression());
    }

    final ArgumentList arguments() {
        expectSymbol("(");
        List<Expr> positional = new ArrayList<>();
        Map<String, Expr> named = new LinkedHashMap<>();
        while (!acceptSymbol(")")) {
            Token token = peek();
            if (isSymbol("*") || isSymbol("**")) {
                throw error(
                        Kind.UNSUPPORTED,
                        token.line(),
                        "unpacking arguments with '" + token.text() + "' is not supported");
            }
            if (token.type() == TokenType.NAME && peek(1).is(TokenType.SYMBOL, "=")) {
                next();
                next();
                if (named.put(token.text(), expression()) != null) {
                    throw error(Kind.SYNTAX, token.line(), "the argument '" + token.text() + "' is given twice");
                }
            } else if (!named.isEmpty()) {
                throw error(Kind.SYNTAX, token.line(), "an argument without a name follows one with a name");
            } else {
                positional.add(expression());
            }
            if (!isSymbol(")")) {
                expectSymbol(",");
            }
        }
        return new ArgumentList(positional, named);
    }

    private Expr primary() {
        Token token = peek();
        return switch (token.type()) {
            case NUMBER -> number();
            case STRING -> {
                StringBuilder text = new StringBuilder();
                while (peek().type() == TokenType.STRING) {
                    text.append(next().text());
                }
                yield new Expr.Literal(Value.of(text.toString()), token.line());
            }
            case NAME -> {
                next();
                checkName(token);
                yield new Expr.Name(token.text(), token.line());
            }
            case SYMBOL ->
                switch (token.text()) {
                    case "(" -> {
                        next();
                        Expr inner = expressionOrTuple();
                        expectSymbol(")");
                        yield inner;
                    }
                    case "[" -> {
                        next();
                        List<Expr> items = new ArrayList<>();
                        while (!acceptSymbol("]")) {
                            items.add(expression());
                            if (!isSymbol("]")) {
                                expectSymbol(",");
                            }
                        }
                        yield new Expr.ListLiteral(items, false, token.line());
                    }
                    case "{" -> mapping();
                    default -> throw unexpected("a value");
                };
            default -> throw unexpected("a value");
        };
    }

    private Expr mapping() {
        int line = next().line();
        List<Map.Entry<Expr, Expr>> entries = new ArrayList<>();
        while (!acceptSymbol("}")) {
            Expr key = expression();
            expectSymbol(":");
            entries.add(Map.entry(key, expression()));
            if (!isSymbol("}")) {
                expectSymbol(",");
            }
        }
        return new Expr.MappingLiteral(entries, line);
    }

    private Expr number() {
        Token token = next();
        if (token.text().contains(".")) {
            return new Expr.Literal(new Value.Real(Double.parseDouble(token.text())), token.line());
        }
        // Sixteen digits at most fit, so a longer number needs no parsing to be refused.
        String digits = token.text().replaceFirst("^0+(?=\\d)", "");
        if (digits.length() > 16 || Long.parseLong(digits) > Numbers.INTEGER_MAX) {
            throw error(Kind.UNSUPPORTED, token.line(), "the integer " + token.text() + " is beyond 2^53");
        }
        return new Expr.Literal(new Value.Int(Long.parseLong(digits)), token.line());
    }

    final Token peek() {
        return peek(0);
    }

    final Token peek(int ahead) {
        return tokens.get(Math.min(current + ahead, tokens.size() - 1));
    }

    final Token next() {
        Token token = peek();
        current++;
        return token;
    }

    final boolean isName(String name) {
        return peek().is(TokenType.NAME, name);
    }

    final boolean isSymbol(String symbol) {
        return peek().is(TokenType.SYMBOL, symbol);
    }

    final boolean acceptName(String name) {
        boolean found = isName(name);
        current += found ? 1 : 0;
        return found;
    }

    final boolean acceptSymbol(String symbol) {
        boolean found = isSymbol(symbol);
        current += found ? 1 : 0;
        return found;
    }

    final String name(String what) {
        if (peek().type() != TokenType.NAME) {
            throw unexpected(what);
        }
        return next().text();
    }

    final void expectName(String name) {
        if (!acceptName(name)) {
            throw unexpected("'" + name + "'");
        }
    }

    final void expectSymbol(String symbol) {
        if (!acceptSymbol(symbol)) {
            throw unexpected("'" + symbol + "'");
        }
    }

    final void expect(TokenType type) {
        if (peek().type() != type) {
            throw unexpected(new Token(type, "", 0).described());
        }
        next();
    }

    final void enter() {
        if (++nesting > nestingMax) {
            throw error(Kind.LIMIT, peek().line(), "nested deeper than " + nestingMax + " levels");
        }
    }

    final void leave() {
        nesting--;
    }

    final TemplateException unexpected(String wanted) {
        return error(Kind.SYNTAX, peek().line(), "expected " + wanted + ", found " + peek().described());
    }

    final TemplateException error(Kind kind, int line, String message) {
        return TemplateException.at(kind, line, message);
    }
}
