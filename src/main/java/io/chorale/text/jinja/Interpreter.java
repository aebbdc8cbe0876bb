package io.chorale.text.jinja;

import io.chorale.text.jinja.Expr.ArgumentList;
import io.chorale.text.jinja.Expr.Operator;
import io.chorale.text.jinja.Stmt.Target;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Renders a parsed template once. */
final class Interpreter {
    /** How a block was left. */
    private enum Flow {
        NEXT,
        BREAK,
        CONTINUE
    }

    private final Budget budget;

    Interpreter(Budget budget) {
        this.budget = budget;
    }

    Text render(List<Stmt> program, Scope scope) {
        return written(program, scope, new Site(1, budget));
    }

    /** What a block writes, by itself. */
    private Text written(List<Stmt> block, Scope scope, Site site) {
        TextBuilder out = site.builder();
        run(block, scope, out, site.line());
        return out.build();
    }

    private Flow run(List<Stmt> block, Scope scope, TextBuilder out, int line) {
        budget.enter(line);
        Flow flow = Flow.NEXT;
        for (int i = 0; i < block.size() && flow == Flow.NEXT; i++) {
            flow = run(block.get(i), scope, out);
        }
        budget.leave();
        return flow;
    }

    private Flow run(Stmt statement, Scope scope, TextBuilder out) {
        Site site = new Site(statement.line(), budget);
        budget.steps(1, site.line());
        switch (statement) {
            case Stmt.Literal literal -> out.append(literal.text());
            case Stmt.Output output -> print(evaluate(output.value(), scope), out, site);
            case Stmt.Set set -> assign(set.target(), evaluate(set.value(), scope), scope, site);
            case Stmt.SetBlock set ->
                assign(set.target(), new Value.Str(written(set.body(), scope, site)), scope, site);
            case Stmt.If branches -> {
                for (Stmt.Branch branch : branches.branches()) {
                    if (evaluate(branch.test(), scope).truthy()) {
                        return run(branch.body(), scope, out, site.line());
                    }
                }
                return run(branches.otherwise(), scope, out, site.line());
            }
            case Stmt.For loop -> loop(loop, scope, out, site);
            case Stmt.Macro macro ->
                scope.set(macro.name(), new Value.Function(macro.name(), (arguments, caller, callSite) -> {
                    Scope inner = new Scope(caller);
                    bind(macro.name(), macro.parameters(), arguments, inner, callSite);
                    return new Value.Str(written(macro.body(), inner, callSite));
                }));
            case Stmt.CallBlock call -> {
                Arguments arguments = evaluate(call.arguments(), scope);
                Value.Function callee = function(call.callee(), scope, site);
                Scope caller = new Scope(scope);
                caller.set("caller", new Value.Function("caller", (given, ignored, callSite) -> {
                    Scope inner = new Scope(scope);
                    bind("caller", call.parameters(), given, inner, callSite);
                    return new Value.Str(written(call.body(), inner, callSite));
                }));
                print(callee.body().call(arguments, caller, site), out, site);
            }
            case Stmt.FilterBlock filter -> {
                Value body = new Value.Str(written(filter.body(), scope, site));
                Arguments arguments = evaluate(filter.filter().arguments(), scope);
                print(Filters.apply(filter.filter().name(), body, arguments, site), out, site);
            }
            case Stmt.Break _ -> {
                return Flow.BREAK;
            }
            case Stmt.Continue _ -> {
                return Flow.CONTINUE;
            }
        }
        return Flow.NEXT;
    }

    private static void print(Value value, TextBuilder out, Site site) {
        switch (value) {
            case Value.Absent _ -> {}
            case Value.Str(Text text) -> out.append(text);
            case Value.Real(double number) -> out.append(Numbers.printed(number));
            case Value.Sequence _, Value.Mapping _, Value.Namespace _ -> out.append(Json.printed(value, site));
            case Value.Int _, Value.Bool _, Value.Function _ -> out.append(Operators.bare(value, site));
        }
    }

    private void assign(Target target, Value value, Scope scope, Site site) {
        switch (target) {
            case Target.Variable(String name) -> scope.set(name, value);
            case Target.Unpacked(List<String> names) -> {
                if (!(value instanceof Value.Sequence sequence)) {
                    throw site.failed("cannot unpack " + value.kind());
                }
                unpack(names, sequence, scope, site);
            }
            case Target.Attribute(Expr object, String name) -> {
                if (!(evaluate(object, scope) instanceof Value.Namespace namespace)) {
                    throw site.failed("only attributes of a namespace can be set, not '" + name + "' of this");
                }
                namespace.entries().put(name, value);
            }
        }
    }

    private static void unpack(List<String> names, Value.Sequence sequence, Scope scope, Site site) {
        if (names.size() != sequence.items().size()) {
            throw site.failed("cannot unpack " + sequence.items().size() + " items into " + names.size() + " names");
        }
        for (int i = 0; i < names.size(); i++) {
            scope.set(names.get(i), sequence.items().get(i));
        }
    }

    private void loop(Stmt.For loop, Scope outer, TextBuilder out, Site site) {
        Scope scope = new Scope(outer);
        List<Value> items = items(loop, scope, site);
        boolean completed = false;
        for (int i = 0; i < items.size(); i++) {
            scope.set("loop", loopVariable(items, i));
            enterIteration(loop.target(), items.get(i), scope, site);
            int mark = out.length();
            Flow flow = run(loop.body(), scope, out, site.line());
            completed |= flow == Flow.NEXT;
            if (flow != Flow.NEXT) {
                // The reference loses what the iteration wrote before it was left, and so do we.
                out.truncate(mark);
            }
            if (flow == Flow.BREAK) {
                break;
            }
        }
        if (!completed) {
            run(loop.otherwise(), scope, out, site.line());
        }
    }

    /** The items to loop over, after the loop's own condition. */
    private List<Value> items(Stmt.For loop, Scope scope, Site site) {
        List<Value> all = switch (evaluate(loop.iterable(), scope)) {
            case Value.Sequence sequence -> sequence.items();
            case Value.Mapping mapping -> Members.keys(mapping).items();
            case Value other -> throw site.failed("cannot loop over " + other.kind());
        };
        budget.steps(all.size(), site.line());
        if (loop.condition().isEmpty()) {
            return List.copyOf(all);
        }
        List<Value> kept = new ArrayList<>();
        for (Value item : all) {
            Scope inner = new Scope(scope);
            enterIteration(loop.target(), item, inner, site);
            if (evaluate(loop.condition().get(), inner).truthy()) {
                kept.add(item);
            }
        }
        return kept;
    }

    private void enterIteration(Target target, Value item, Scope scope, Site site) {
        if (target instanceof Target.Unpacked && item instanceof Value.Sequence sequence && sequence.tuple()) {
            throw site.unsupported("a loop that unpacks tuples is not supported; use lists");
        }
        assign(target, item, scope, site);
    }

    private static Value loopVariable(List<Value> items, int index) {
        int count = items.size();
        Map<String, Value> loop = new LinkedHashMap<>();
        loop.put("index", new Value.Int(index + 1));
        loop.put("index0", new Value.Int(index));
        loop.put("revindex", new Value.Int(count - index));
        loop.put("revindex0", new Value.Int(count - index - 1));
        loop.put("first", Value.of(index == 0));
        loop.put("last", Value.of(index == count - 1));
        loop.put("length", new Value.Int(count));
        loop.put("previtem", index > 0 ? items.get(index - 1) : Value.Absent.UNDEFINED);
        loop.put("nextitem", index < count - 1 ? items.get(index + 1) : Value.Absent.UNDEFINED);
        return new Value.Mapping(loop, false);
    }

    /** Binds all parameters before it evaluates defaults, so that a default never sees an outer variable instead. */
    private void bind(String name, List<Stmt.Parameter> parameters, Arguments arguments, Scope scope, Site site) {
        String[] names = parameters.stream().map(Stmt.Parameter::name).toArray(String[]::new);
        Map<String, Value> given = arguments.bind(name, site, names).values();
        for (String parameter : names) {
            scope.set(parameter, given.getOrDefault(parameter, Value.Absent.UNDEFINED));
        }
        for (Stmt.Parameter parameter : parameters) {
            if (!given.containsKey(parameter.name())) {
                parameter.defaultValue().ifPresent(value -> scope.set(parameter.name(), evaluate(value, scope)));
            }
        }
    }

    private Value evaluate(Expr expression, Scope scope) {
        budget.enter(expression.line());
        Site site = new Site(expression.line(), budget);
        Value value = switch (expression) {
            case Expr.Literal literal -> literal.value();
            case Expr.Name name -> scope.get(name.name());
            case Expr.ListLiteral list -> new Value.Sequence(evaluateAll(list.items(), scope), list.tuple());
            case Expr.MappingLiteral mapping -> mapping(mapping, scope, site);
            case Expr.Not not -> Value.of(!evaluate(not.operand(), scope).truthy());
            case Expr.Sign sign -> signed(sign.minus(), evaluate(sign.operand(), scope), site);
            case Expr.Binary binary -> binary(binary, scope, site);
            case Expr.Test test ->
                Value.of(Tests.test(test.name(), evaluate(test.operand(), scope), site) != test.negated());
            case Expr.Filter(Expr operand, Expr.FilterCall(String name, ArgumentList arguments), int _) ->
                Filters.apply(name, evaluate(operand, scope), evaluate(arguments, scope), site);
            case Expr.Member member -> Members.member(evaluate(member.object(), scope), member.name());
            case Expr.Index index ->
                Members.index(evaluate(index.object(), scope), evaluate(index.index(), scope), site);
            case Expr.Slice slice ->
                Members.slice(
                        evaluate(slice.object(), scope),
                        evaluate(slice.start(), scope),
                        evaluate(slice.stop(), scope),
                        evaluate(slice.step(), scope),
                        site);
            case Expr.Call call -> {
                Arguments arguments = evaluate(call.arguments(), scope);
                yield function(call.callee(), scope, site).body().call(arguments, scope, site);
            }
            case Expr.Conditional conditional ->
                evaluate(conditional.test(), scope).truthy()
                        ? evaluate(conditional.then(), scope)
                        : evaluate(conditional.otherwise(), scope);
        };
        budget.leave();
        return value;
    }

    private Value evaluate(Optional<Expr> expression, Scope scope) {
        return expression.isPresent() ? evaluate(expression.get(), scope) : Value.Absent.UNDEFINED;
    }

    private List<Value> evaluateAll(List<Expr> expressions, Scope scope) {
        List<Value> values = new ArrayList<>(expressions.size());
        for (Expr expression : expressions) {
            values.add(evaluate(expression, scope));
        }
        return values;
    }

    private Arguments evaluate(ArgumentList arguments, Scope scope) {
        if (arguments.positional().isEmpty() && arguments.named().isEmpty()) {
            return Arguments.NONE;
        }
        Map<String, Value> named = new LinkedHashMap<>();
        List<Value> positional = evaluateAll(arguments.positional(), scope);
        arguments.named().forEach((name, value) -> named.put(name, evaluate(value, scope)));
        return new Arguments(positional, named);
    }

    private Value mapping(Expr.MappingLiteral literal, Scope scope, Site site) {
        Map<String, Value> entries = new LinkedHashMap<>();
        boolean content = false;
        for (Map.Entry<Expr, Expr> entry : literal.entries()) {
            if (!(evaluate(entry.getKey(), scope) instanceof Value.Str(Text key))) {
                throw site.unsupported("keys of a mapping other than strings are not supported");
            }
            content |= key.hasContent();
            entries.put(key.chars(), evaluate(entry.getValue(), scope));
        }
        return new Value.Mapping(entries, content);
    }

    private static Value signed(boolean minus, Value operand, Site site) {
        int sign = minus ? -1 : 1;
        return switch (operand) {
            case Value.Int(long number) -> new Value.Int(sign * number);
            case Value.Real(double number) -> new Value.Real(sign * number);
            case Value.Bool(boolean truth) -> new Value.Int(truth ? sign : 0);
            default -> throw site.failed("a sign before " + operand.kind());
        };
    }

    private Value binary(Expr.Binary binary, Scope scope, Site site) {
        Value left = evaluate(binary.left(), scope);
        if (binary.operator() == Operator.AND) {
            return left.truthy() ? evaluate(binary.right(), scope) : left;
        }
        if (binary.operator() == Operator.OR) {
            return left.truthy() ? left : evaluate(binary.right(), scope);
        }
        return Operators.apply(binary.operator(), left, evaluate(binary.right(), scope), site);
    }

    private Value.Function function(Expr callee, Scope scope, Site site) {
        Value value = evaluate(callee, scope);
        if (value instanceof Value.Function function) {
            return function;
        }
        throw site.unsupported("'" + called(callee) + "' is " + value.kind() + " and cannot be called");
    }

    private static String called(Expr callee) {
        return switch (callee) {
            case Expr.Name name -> name.name();
            case Expr.Member member -> called(member.object()) + "." + member.name();
            default -> "what stands before '('";
        };
    }
}
