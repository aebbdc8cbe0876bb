package io.chorale.simulate;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Flags of a command: {@code --name value}. What is wrong is said with the flag's name and what would be right. */
final class Flags {
    /** What is wrong with a command line. */
    static final class FlagException extends IllegalArgumentException {
        private static final long serialVersionUID = 1;

        FlagException(String message) {
            super(message);
        }
    }

    private final Map<String, List<String>> given = new LinkedHashMap<>();

    /** @param known names, without dashes */
    Flags(List<String> arguments, Set<String> known) {
        for (int i = 0; i < arguments.size(); i += 2) {
            String flag = arguments.get(i);
            if (!flag.startsWith("--") || !known.contains(flag.substring(2))) {
                throw new FlagException("there is no flag '" + flag + "'; --help lists them");
            }
            if (i + 1 == arguments.size()) {
                throw new FlagException(flag + " needs a value");
            }
            given.computeIfAbsent(flag.substring(2), name -> new ArrayList<>()).add(arguments.get(i + 1));
        }
    }

    boolean has(String name) {
        return given.containsKey(name);
    }

    /** All values of a flag that may be given several times. */
    List<String> all(String name) {
        return given.getOrDefault(name, List.of());
    }

    String text(String name, String otherwise) {
        List<String> values = all(name);
        if (values.size() > 1) {
            throw new FlagException("--" + name + " is given twice");
        }
        return values.isEmpty() ? otherwise : values.getFirst();
    }

    double number(String name, double otherwise, double min, double max) {
        String text = text(name, "");
        if (text.isEmpty()) {
            return otherwise;
        }
        double value;
        try {
            value = Double.parseDouble(text);
        } catch (NumberFormatException e) {
            throw new FlagException("--" + name + " " + text + ": not a number");
        }
        if (!(value >= min && value <= max)) {
            throw new FlagException("--" + name + " " + text + ": must be between " + SvgPlot.number(min) + " and "
                    + SvgPlot.number(max));
        }
        return value;
    }

    int whole(String name, int otherwise, int min, int max) {
        double value = number(name, otherwise, min, max);
        if (value != Math.rint(value)) {
            throw new FlagException("--" + name + " " + text(name, "") + ": must be a whole number");
        }
        return (int) value;
    }

    /** Numbers with commas between them. */
    int[] wholes(String name, String otherwise, int min, int max) {
        String[] parts = text(name, otherwise).split(",", -1);
        int[] values = new int[parts.length];
        for (int i = 0; i < parts.length; i++) {
            try {
                values[i] = Integer.parseInt(parts[i].strip());
            } catch (NumberFormatException e) {
                throw new FlagException("--" + name + ": '" + parts[i] + "' is not a whole number");
            }
            if (values[i] < min || values[i] > max) {
                throw new FlagException("--" + name + ": " + values[i] + " is not between " + min + " and " + max);
            }
        }
        return values;
    }

    /** Two numbers with a colon between them, the first one the smaller. */
    int[] range(String name, String otherwise, int min, int max) {
        int[] ends = new int[2];
        String[] parts = text(name, otherwise).split(":", -1);
        for (int i = 0; i < 2; i++) {
            try {
                ends[i] = parts.length == 2 ? Integer.parseInt(parts[i].strip()) : -1;
            } catch (NumberFormatException e) {
                ends[i] = -1;
            }
        }
        if (ends[0] < min || ends[1] > max || ends[0] > ends[1]) {
            throw new FlagException(
                    "--" + name + " " + text(name, otherwise) + ": must be FROM:TO within " + min + ":" + max);
        }
        return ends;
    }
}
