package io.chorale.text.jinja;

/**
 * Writes values as JSON, as {@code tojson} and the printing of lists and mappings do.
 *
 * @param undefinedAs what an undefined value is written as
 * @param indent spaces a level, 0 for one line
 */
record Json(
        String undefinedAs,
        int indent,
        boolean ensureAscii,
        Text itemSeparator,
        Text keySeparator,
        TextBuilder out,
        Site site) {
    private static final String HEX = "0123456789abcdef";

    /** How a list or mapping prints. */
    static Text printed(Value value, Site site) {
        return new Json("undefined", 0, false, Text.template(", "), Text.template(": "), site.builder(), site)
                .write(value);
    }

    Text write(Value value) {
        write(value, 0);
        return out.build();
    }

    private void write(Value value, int depth) {
        site.budget().enter(site.line());
        switch (value) {
            case Value.Absent absent -> out.append(absent == Value.Absent.NONE ? "null" : undefinedAs);
            case Value.Bool(boolean truth) -> out.append(String.valueOf(truth));
            case Value.Int(long number) -> out.append(String.valueOf(number));
            case Value.Real(double number) -> out.append(Double.isFinite(number) ? Numbers.plain(number) : "null");
            case Value.Str(Text text) -> string(text);
            case Value.Sequence sequence
            when !sequence.tuple() -> {
                out.append("[");
                boolean first = true;
                for (Value item : sequence.items()) {
                    separate(first, depth + 1);
                    first = false;
                    write(item, depth + 1);
                }
                close("]", first, depth);
            }
            case Value.Mapping mapping -> {
                out.append("{");
                boolean first = true;
                for (var entry : mapping.entries().entrySet()) {
                    separate(first, depth + 1);
                    first = false;
                    member(Text.of(entry.getKey(), mapping.content()), entry.getValue(), depth);
                }
                close("}", first, depth);
            }
            case Value.Namespace namespace -> {
                out.append("{");
                boolean first = true;
                for (var entry : namespace.entries().entrySet()) {
                    separate(first, depth + 1);
                    first = false;
                    member(Text.template(entry.getKey()), entry.getValue(), depth);
                }
                close("}", first, depth);
            }
            case Value.Sequence tuple -> throw site.unsupported("a tuple cannot be written");
            case Value.Function function -> throw site.unsupported("a function cannot be written");
        }
        site.budget().leave();
    }

    private void member(Text key, Value value, int depth) {
        string(key);
        out.append(keySeparator);
        write(value, depth + 1);
    }

    private void separate(boolean first, int depth) {
        if (!first) {
            out.append(itemSeparator);
        }
        lineBreak(depth);
    }

    private void close(String bracket, boolean empty, int depth) {
        if (!empty) {
            lineBreak(depth);
        }
        out.append(bracket);
    }

    private void lineBreak(int depth) {
        if (indent > 0) {
            out.append("\n").append(" ", indent * depth);
        }
    }

    private void string(Text text) {
        out.append("\"");
        text.forEachRun((run, content) -> out.append(escape(run), content));
        out.append("\"");
    }

    private String escape(String run) {
        StringBuilder escaped = new StringBuilder(run.length() + 8);
        for (int i = 0; i < run.length(); i++) {
            char c = run.charAt(i);
            switch (c) {
                case '"' -> escaped.append("\\\"");
                case '\\' -> escaped.append("\\\\");
                case '\b' -> escaped.append("\\b");
                case '\f' -> escaped.append("\\f");
                case '\n' -> escaped.append("\\n");
                case '\r' -> escaped.append("\\r");
                case '\t' -> escaped.append("\\t");
                default -> {
                    if (c < 0x20 || (ensureAscii && c >= 0x7F) || isLoneSurrogate(run, i)) {
                        escaped.append("\\u");
                        for (int shift = 12; shift >= 0; shift -= 4) {
                            escaped.append(HEX.charAt((c >> shift) & 0xF));
                        }
                    } else {
                        escaped.append(c);
                    }
                }
            }
        }
        return escaped.toString();
    }

    private static boolean isLoneSurrogate(String run, int index) {
        char c = run.charAt(index);
        if (Character.isHighSurrogate(c)) {
            return index + 1 >= run.length() || !Character.isLowSurrogate(run.charAt(index + 1));
        }
        return Character.isLowSurrogate(c) && (index == 0 || !Character.isHighSurrogate(run.charAt(index - 1)));
    }
}
