package io.chorale.text.jinja;

import io.chorale.text.jinja.Expr.ArgumentList;
import io.chorale.text.jinja.Expr.FilterCall;
import io.chorale.text.jinja.Stmt.Parameter;
import io.chorale.text.jinja.Stmt.Target;
import io.chorale.text.jinja.TemplateException.Kind;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Parses the statements of a template; what it does not know it refuses by name. */
final class Parser extends ExpressionParser {
    /** Loops around the statement being parsed that a {@code break} in it would end. */
    private int loops;

    private boolean inMacro;

    private Parser(List<Token> tokens, int nestingMax) {
        super(tokens, nestingMax);
    }

    static List<Stmt> parse(String source, Limits limits) {
        if (source.length() > limits.templateCharsMax()) {
            throw TemplateException.at(
                    Kind.LIMIT, 1, "the template is longer than " + limits.templateCharsMax() + " characters");
        }
        Parser parser = new Parser(Lexer.tokens(source), limits.nestingMax());
        List<Stmt> program = parser.block(Set.of());
        if (parser.peek().type() != TokenType.END) {
            throw parser.unexpected("text or a tag");
        }
        return program;
    }

    /** Statements up to the tag that begins with one of {@code ends}, which is left to the caller. */
    private List<Stmt> block(Set<String> ends) {
        enter();
        List<Stmt> body = new ArrayList<>();
        while (true) {
            Token token = peek();
            switch (token.type()) {
                case TEXT -> body.add(new Stmt.Literal(next().text(), token.line()));
                case COMMENT -> next();
                case OPEN_EXPRESSION -> {
                    next();
                    body.add(new Stmt.Output(expression(), token.line()));
                    expect(TokenType.CLOSE_EXPRESSION);
                }
                case OPEN_STATEMENT -> {
                    if (peek(1).type() == TokenType.NAME && ends.contains(peek(1).text())) {
                        leave();
                        return body;
                    }
                    next();
                    body.add(statement());
                    expect(TokenType.CLOSE_STATEMENT);
                }
                default -> {
                    if (!ends.isEmpty()) {
                        throw unexpected("'{% " + ends.iterator().next() + " %}'");
                    }
                    leave();
                    return body;
                }
            }
        }
    }

    /** A block, the tag that ends it without its closing delimiter, and what {@code break} means in it. */
    private List<Stmt> blockUntil(String end, int loopsInside) {
        int loopsOutside = loops;
        loops = loopsInside;
        List<Stmt> body = block(Set.of(end));
        loops = loopsOutside;
        endTag(end);
        return body;
    }

    private void endTag(String name) {
        expect(TokenType.OPEN_STATEMENT);
        expectName(name);
    }

    private Stmt statement() {
        Token token = peek();
        if (token.type() != TokenType.NAME) {
            throw unexpected("the name of a statement");
        }
        next();
        int line = token.line();
        return switch (token.text()) {
            case "if" -> ifStatement(line);
            case "for" -> forStatement(line);
            case "set" -> setStatement(line);
            case "macro" -> macro(line);
            case "call" -> callBlock(line);
            case "filter" -> {
                FilterCall filter = filterCall();
                expect(TokenType.CLOSE_STATEMENT);
                yield new Stmt.FilterBlock(filter, blockUntil("endfilter", 0), line);
            }
            case "break", "continue" -> {
                if (loops == 0) {
                    throw error(Kind.SYNTAX, line, "'" + token.text() + "' outside a loop");
                }
                yield token.text().equals("break") ? new Stmt.Break(line) : new Stmt.Continue(line);
            }
            case "elif", "else", "endif", "endfor", "endset", "endmacro", "endcall", "endfilter" ->
                throw error(Kind.SYNTAX, line, "'" + token.text() + "' without what it belongs to");
            default -> throw error(Kind.UNSUPPORTED, line, "the statement '" + token.text() + "' is not supported");
        };
    }

    private Stmt ifStatement(int line) {
        List<Stmt.Branch> branches = new ArrayList<>();
        List<Stmt> otherwise = List.of();
        Set<String> ends = new LinkedHashSet<>(List.of("endif", "elif", "else"));
        do {
            Expr test = expression();
            expect(TokenType.CLOSE_STATEMENT);
            branches.add(new Stmt.Branch(test, block(ends)));
            expect(TokenType.OPEN_STATEMENT);
        } while (acceptName("elif"));
        if (acceptName("else")) {
            expect(TokenType.CLOSE_STATEMENT);
            otherwise = block(Set.of("endif"));
            expect(TokenType.OPEN_STATEMENT);
        }
        expectName("endif");
        return new Stmt.If(branches, otherwise, line);
    }

    private Stmt forStatement(int line) {
        Target target = loopTarget();
        expectName("in");
        Expr iterable = expression();
        if (isName("recursive")) {
            throw error(Kind.UNSUPPORTED, line, "'recursive' loops are not supported");
        }
        Optional<Expr> condition = Optional.empty();
        // "x in xs if test" reads as a conditional without else, whose test then filters the items.
        if (iterable instanceof Expr.Conditional(Expr test, Expr items, Optional<Expr> otherwise, int ignored)
                && otherwise.isEmpty()) {
            condition = Optional.of(test);
            iterable = items;
        }
        expect(TokenType.CLOSE_STATEMENT);
        loops++;
        List<Stmt> body = block(new LinkedHashSet<>(List.of("endfor", "else")));
        loops--;
        expect(TokenType.OPEN_STATEMENT);
        List<Stmt> otherwise = List.of();
        if (acceptName("else")) {
            expect(TokenType.CLOSE_STATEMENT);
            otherwise = block(Set.of("endfor"));
            expect(TokenType.OPEN_STATEMENT);
        }
        expectName("endfor");
        return new Stmt.For(target, iterable, condition, body, otherwise, line);
    }

    private Target loopTarget() {
        boolean parenthesized = acceptSymbol("(");
        List<String> names = new ArrayList<>();
        boolean unpacked = false;
        do {
            names.add(name("a loop variable"));
            unpacked |= isSymbol(",");
        } while (acceptSymbol(","));
        if (parenthesized) {
            expectSymbol(")");
        }
        return unpacked ? new Target.Unpacked(names) : new Target.Variable(names.getFirst());
    }

    private Stmt setStatement(int line) {
        Target target = setTarget(line);
        if (acceptSymbol("=")) {
            return new Stmt.Set(target, expressionOrTuple(), line);
        }
        if (isSymbol("|")) {
            throw error(Kind.UNSUPPORTED, line, "a filter on a 'set' block is not supported");
        }
        expect(TokenType.CLOSE_STATEMENT);
        return new Stmt.SetBlock(target, blockUntil("endset", 0), line);
    }

    private Target setTarget(int line) {
        List<String> names = new ArrayList<>();
        names.add(name("a variable to set"));
        if (acceptSymbol(".")) {
            return new Target.Attribute(new Expr.Name(names.getFirst(), line), name("an attribute to set"));
        }
        boolean unpacked = isSymbol(",");
        while (acceptSymbol(",")) {
            names.add(name("a variable to set"));
        }
        return unpacked ? new Target.Unpacked(names) : new Target.Variable(names.getFirst());
    }

    private Stmt macro(int line) {
        String name = name("the macro's name");
        List<Parameter> parameters = parameters();
        expect(TokenType.CLOSE_STATEMENT);
        boolean outside = inMacro;
        inMacro = true;
        List<Stmt> body = blockUntil("endmacro", 0);
        inMacro = outside;
        return new Stmt.Macro(name, parameters, body, line);
    }

    private Stmt callBlock(int line) {
        List<Parameter> parameters = isSymbol("(") ? parameters() : List.of();
        int calleeLine = peek().line();
        Expr.Name callee = new Expr.Name(name("the macro to call"), calleeLine);
        ArgumentList arguments = arguments();
        expect(TokenType.CLOSE_STATEMENT);
        return new Stmt.CallBlock(parameters, callee, arguments, blockUntil("endcall", 0), line);
    }

    private List<Parameter> parameters() {
        expectSymbol("(");
        Map<String, Parameter> parameters = new LinkedHashMap<>();
        boolean sawDefault = false;
        while (!acceptSymbol(")")) {
            int line = peek().line();
            String name = name("a parameter");
            Optional<Expr> defaultValue = acceptSymbol("=") ? Optional.of(expression()) : Optional.empty();
            if (sawDefault && defaultValue.isEmpty()) {
                throw error(Kind.SYNTAX, line, "the parameter '" + name + "' needs a default, as those before it have");
            }
            sawDefault |= defaultValue.isPresent();
            if (parameters.put(name, new Parameter(name, defaultValue)) != null) {
                throw error(Kind.SYNTAX, line, "the parameter '" + name + "' is declared twice");
            }
            if (!isSymbol(")")) {
                expectSymbol(",");
            }
        }
        return List.copyOf(parameters.values());
    }

    @Override
    void checkName(Token name) {
        if (inMacro && (name.text().equals("kwargs") || name.text().equals("varargs"))) {
            throw error(Kind.UNSUPPORTED, name.line(), "a macro's '" + name.text() + "' is not supported");
        }
    }
}
