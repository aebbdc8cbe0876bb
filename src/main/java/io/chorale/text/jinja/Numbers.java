package io.chorale.text.jinja;

import java.math.BigDecimal;

/** Numbers as the reference, which knows doubles only, computes and prints them. */
final class Numbers {
    /** The largest integer up to which doubles are exact; beyond it the reference would round, and we refuse. */
    static final long INTEGER_MAX = (1L << 53) - 1;

    private Numbers() {}

    static Value integer(long value, Site site) {
        if (Math.abs(value) > INTEGER_MAX) {
            throw site.failed("the integer " + value + " is beyond 2^53");
        }
        return new Value.Int(value);
    }

    /** The shortest decimal that reads back as the same double, laid out as ECMAScript's Number::toString does. */
    static String plain(double value) {
        if (Double.isNaN(value)) {
            return "NaN";
        }
        if (Double.isInfinite(value)) {
            return value > 0 ? "Infinity" : "-Infinity";
        }
        if (value == 0) {
            return "0";
        }
        BigDecimal decimal = new BigDecimal(Double.toString(value)).stripTrailingZeros();
        int exponent = decimal.precision() - decimal.scale() - 1;
        if (exponent >= -6 && exponent < 21) {
            return decimal.toPlainString();
        }
        String digits = decimal.unscaledValue().abs().toString();
        String mantissa = digits.length() == 1 ? digits : digits.charAt(0) + "." + digits.substring(1);
        return (value < 0 ? "-" : "") + mantissa + "e" + (exponent < 0 ? "-" : "+") + Math.abs(exponent);
    }

    /** A float as it is printed: always with a fraction. */
    static String printed(double value) {
        String plain = plain(value);
        boolean whole = value == Math.rint(value) && Math.abs(value) < 1e21;
        return whole ? (value == 0 && 1 / value < 0 ? "-0.0" : plain + ".0") : plain;
    }
}
