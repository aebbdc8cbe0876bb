package io.chorale.text.jinja;

import io.chorale.text.jinja.Expr.Operator;
import java.util.ArrayList;
import java.util.List;

/** The operators between two evaluated operands. */
final class Operators {
    private Operators() {}

    static Value apply(Operator operator, Value left, Value right, Site site) {
        return switch (operator) {
            case EQUAL -> Value.of(equal(left, right, site));
            case NOT_EQUAL -> Value.of(!equal(left, right, site));
            case IN -> Value.of(contains(right, left, site));
            case NOT_IN -> Value.of(!contains(right, left, site));
            default -> computed(operator, left, right, site);
        };
    }

    private static Value computed(Operator operator, Value left, Value right, Site site) {
        if (left instanceof Value.Absent || right instanceof Value.Absent) {
            throw mismatch(operator, left, right, site);
        }
        if (operator == Operator.CONCATENATE) {
            return concatenation(left, right, site);
        }
        if (operator == Operator.POWER && isNumeric(left) && isNumeric(right)) {
            return power(left, right, site);
        }
        if (left instanceof Value.Int(long a) && right instanceof Value.Int(long b)) {
            return integers(operator, a, b, site);
        }
        if (isNumber(left) && isNumber(right)) {
            return reals(operator, number(left), number(right), site);
        }
        if (operator == Operator.ADD) {
            if (left instanceof Value.Sequence a && right instanceof Value.Sequence b) {
                site.budget().steps(a.items().size() + b.items().size(), site.line());
                List<Value> items = new ArrayList<>(a.items());
                items.addAll(b.items());
                return Value.Sequence.list(items);
            }
            if (left instanceof Value.Str || right instanceof Value.Str) {
                return concatenation(left, right, site);
            }
        }
        throw mismatch(operator, left, right, site);
    }

    private static Value integers(Operator operator, long a, long b, Site site) {
        return switch (operator) {
            case ADD -> Numbers.integer(a + b, site);
            case SUBTRACT -> Numbers.integer(a - b, site);
            case MULTIPLY -> {
                if (Math.multiplyHigh(a, b) != (a * b) >> 63) {
                    throw site.failed("the product is beyond 2^53");
                }
                yield Numbers.integer(a * b, site);
            }
            case DIVIDE -> new Value.Real((double) a / nonZero(b, site));
            case FLOOR_DIVIDE -> new Value.Int(Math.floorDiv(a, nonZero(b, site)));
            case MODULO -> new Value.Int(a % nonZero(b, site));
            case LESS -> Value.of(a < b);
            case LESS_EQUAL -> Value.of(a <= b);
            case GREATER -> Value.of(a > b);
            case GREATER_EQUAL -> Value.of(a >= b);
            default -> throw mismatch(operator, new Value.Int(a), new Value.Int(b), site);
        };
    }

    private static Value reals(Operator operator, double a, double b, Site site) {
        return switch (operator) {
            case ADD -> new Value.Real(a + b);
            case SUBTRACT -> new Value.Real(a - b);
            case MULTIPLY -> new Value.Real(a * b);
            case DIVIDE -> new Value.Real(a / nonZero(b, site));
            case FLOOR_DIVIDE -> new Value.Real(Math.floor(a / nonZero(b, site)));
            case MODULO -> new Value.Real(a % nonZero(b, site));
            case LESS -> Value.of(a < b);
            case LESS_EQUAL -> Value.of(a <= b);
            case GREATER -> Value.of(a > b);
            case GREATER_EQUAL -> Value.of(a >= b);
            default -> throw mismatch(operator, new Value.Real(a), new Value.Real(b), site);
        };
    }

    private static Value power(Value left, Value right, Site site) {
        double exponent = number(right);
        double power = Math.pow(number(left), exponent);
        if (!Double.isFinite(power)) {
            throw site.failed("the power is not a finite number");
        }
        boolean real = left instanceof Value.Real || right instanceof Value.Real || exponent < 0;
        if (!real && Math.abs(power) > Numbers.INTEGER_MAX) {
            throw site.failed("the power is beyond 2^53");
        }
        return real ? new Value.Real(power) : new Value.Int((long) power);
    }

    private static long nonZero(long divisor, Site site) {
        if (divisor == 0) {
            throw site.failed("division by zero");
        }
        return divisor;
    }

    private static double nonZero(double divisor, Site site) {
        if (divisor == 0) {
            throw site.failed("division by zero");
        }
        return divisor;
    }

    private static Value concatenation(Value left, Value right, Site site) {
        return new Value.Str(site.builder()
                .append(bare(left, site))
                .append(bare(right, site))
                .build());
    }

    /** A value as a part of a longer string; the reference's floats lose their {@code .0} here. */
    static Text bare(Value value, Site site) {
        return switch (value) {
            case Value.Str(Text text) -> text;
            case Value.Int(long number) -> Text.template(String.valueOf(number));
            case Value.Real(double number) -> Text.template(Numbers.plain(number));
            case Value.Bool(boolean truth) -> Text.template(String.valueOf(truth));
            default -> throw site.unsupported(value.kind() + " cannot be made part of a string");
        };
    }

    /** Equality where Jinja2 and the reference, which converts operands as ECMAScript's {@code ==} does, agree. */
    private static boolean equal(Value left, Value right, Site site) {
        if (isNumeric(left) && isNumeric(right)) {
            return number(left) == number(right);
        }
        boolean disputed = switch (left) {
            case Value.Absent a when right instanceof Value.Absent b -> a != b;
            case Value.Str a when isNumeric(right) -> readsAs(a, number(right));
            case Value _ when isNumeric(left) && right instanceof Value.Str b -> readsAs(b, number(left));
            case Value.Sequence a
            when right instanceof Value.Sequence b ->
                a.items() != b.items() && a.items().size() == b.items().size();
            case Value.Sequence _ -> right instanceof Value.Str || isNumeric(right);
            case Value _ when right instanceof Value.Sequence -> left instanceof Value.Str || isNumeric(left);
            case Value.Mapping a
            when right instanceof Value.Mapping b ->
                a.entries() != b.entries() && a.entries().size() == b.entries().size();
            default -> false;
        };
        if (disputed) {
            throw site.unsupported("comparing " + left.kind() + " with " + right.kind() + " is not supported");
        }
        return same(left, right, site);
    }

    /** Whether the reference would read {@code string} as {@code number} and call the two equal. */
    private static boolean readsAs(Value.Str string, double number) {
        String digits = string.text().strip(true, true).chars();
        try {
            return (digits.isEmpty() ? 0 : Double.parseDouble(digits)) == number;
        } catch (NumberFormatException notANumber) {
            return false;
        }
    }

    /** Equality without conversion: of strings and numbers by value, of the rest by identity. */
    static boolean same(Value left, Value right, Site site) {
        return switch (left) {
            case Value.Str(Text a) -> {
                if (!(right instanceof Value.Str(Text b)) || a.length() != b.length()) {
                    yield false;
                }
                site.budget().chars(a.length(), site.line());
                yield a.chars().equals(b.chars());
            }
            case Value.Bool a -> right instanceof Value.Bool b && a.value() == b.value();
            case Value.Int _, Value.Real _ -> isNumber(right) && number(left) == number(right);
            case Value.Sequence a -> right instanceof Value.Sequence b && a.items() == b.items();
            case Value.Mapping a -> right instanceof Value.Mapping b && a.entries() == b.entries();
            case Value.Namespace a -> right instanceof Value.Namespace b && a.entries() == b.entries();
            case Value.Absent _, Value.Function _ -> left == right;
        };
    }

    private static boolean contains(Value container, Value item, Site site) {
        if (container == Value.Absent.UNDEFINED) {
            return false;
        }
        return switch (container) {
            case Value.Sequence sequence
            when isScalar(item) -> {
                site.budget().steps(sequence.items().size(), site.line());
                yield sequence.items().stream().anyMatch(element -> same(element, item, site));
            }
            case Value.Str(Text text)
            when item instanceof Value.Str(Text part) -> {
                site.budget().search(text.length(), part.length(), site.line());
                yield text.chars().contains(part.chars());
            }
            case Value.Mapping mapping
            when item instanceof Value.Str key -> mapping.entries().containsKey(key.chars());
            default -> throw mismatch(Operator.IN, item, container, site);
        };
    }

    private static boolean isScalar(Value value) {
        return value instanceof Value.Str || isNumeric(value);
    }

    static boolean isNumber(Value value) {
        return value instanceof Value.Int || value instanceof Value.Real;
    }

    static boolean isNumeric(Value value) {
        return isNumber(value) || value instanceof Value.Bool;
    }

    static double number(Value value) {
        return switch (value) {
            case Value.Int(long number) -> number;
            case Value.Real(double number) -> number;
            case Value.Bool(boolean truth) -> truth ? 1 : 0;
            default -> throw new IllegalArgumentException("no number: " + value.kind());
        };
    }

    private static TemplateException mismatch(Operator operator, Value left, Value right, Site site) {
        return site.failed(
                "'" + operator.symbol() + "' is not defined between " + left.kind() + " and " + right.kind());
    }
}
