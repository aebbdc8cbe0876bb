package io.chorale.text.jinja;

import io.chorale.text.jinja.TemplateException.Kind;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Cuts a template into tokens and settles its white space: {@code trim_blocks} and {@code lstrip_blocks} are on, as
 * they are where models are trained, {@code -} strips on its side, one newline at the end of the template is dropped.
 *
 * <p>The tags {@code generation} and {@code endgeneration}, which mark what a model is trained on, leave no trace but
 * their white space control.
 */
final class Lexer {
    private static final Pattern GENERATION = Pattern.compile("\\{%-?\\s*(?:end)?generation\\s*-?%}");
    private static final String[] SYMBOLS = {
        "**", "//", "==", "!=", "<=", ">=", "(", ")", "[", "]", "{", "}", ",", ".", ":", "|", "<", ">", "+", "-", "~",
        "*", "/", "%", "="
    };

    private final String source;
    private final int end;
    private final List<Token> tokens = new ArrayList<>();
    private int position;
    /** The line of {@code linePosition}, which only moves forward. */
    private int line = 1;

    private int linePosition;

    private Lexer(String source) {
        this.source = source;
        this.end = source.endsWith("\n") ? source.length() - 1 : source.length();
    }

    static List<Token> tokens(String source) {
        Lexer lexer = new Lexer(source);
        while (lexer.position < lexer.end) {
            lexer.text();
            if (lexer.position < lexer.end) {
                lexer.tag();
            }
        }
        lexer.add(TokenType.END, "");
        return lexer.tokens;
    }

    /** Text up to the next tag. */
    private void text() {
        int start = position;
        int stop = start;
        while (stop < end && !(at("{%", stop) || at("{{", stop) || at("{#", stop))) {
            stop++;
        }
        position = stop;
        if (stop < end && !at("{{", stop)) {
            stop = Math.max(start, startOfIndent(stop));
        }
        if (stop > start) {
            tokens.add(new Token(TokenType.TEXT, source.substring(start, stop), lineAt(start)));
        }
    }

    /** Where the blanks before a tag begin, if nothing else stands before it on its line; else {@code tag} itself. */
    private int startOfIndent(int tag) {
        int start = tag;
        while (start > 0 && (source.charAt(start - 1) == ' ' || source.charAt(start - 1) == '\t')) {
            start--;
        }
        return start == 0 || "\n\r\u2028\u2029".indexOf(source.charAt(start - 1)) >= 0 ? start : tag;
    }

    private void tag() {
        int opening = position;
        if (at("{#", opening)) {
            comment();
            return;
        }
        boolean statement = at("{%", opening);
        boolean strips = at("-", opening + 2);
        if (strips) {
            stripTextBefore();
        }
        Matcher generation = GENERATION.matcher(source).region(opening, end);
        if (generation.lookingAt()) {
            position = generation.end();
            afterTag(source.charAt(position - 3) == '-', true);
            return;
        }
        if (statement && at("+", opening + 2)) {
            throw error(Kind.UNSUPPORTED, "the white space control '{%+' is not supported");
        }
        add(statement ? TokenType.OPEN_STATEMENT : TokenType.OPEN_EXPRESSION, "");
        position = opening + (strips ? 3 : 2);
        code(statement, opening);
    }

    private void comment() {
        int opening = position;
        int start = opening + 2;
        if (at("-", start)) {
            stripTextBefore();
            start++;
        }
        int closing = source.indexOf("#}", start);
        if (closing < 0 || closing + 2 > end) {
            throw error(Kind.SYNTAX, "this comment is never closed by '#}'");
        }
        add(TokenType.COMMENT, "");
        position = closing + 2;
        afterTag(closing > start && source.charAt(closing - 1) == '-', true);
    }

    /** Tokens up to and with the end of a tag. */
    private void code(boolean statement, int opening) {
        String close = statement ? "%}" : "}}";
        int braces = 0;
        while (true) {
            skipSpace();
            if (position >= end) {
                position = opening;
                linePosition = 0;
                line = 1;
                throw error(Kind.SYNTAX, "this tag is never closed by '" + close + "'");
            }
            boolean strips = at("-" + close, position);
            if (strips || (at(close, position) && (statement || braces == 0))) {
                add(statement ? TokenType.CLOSE_STATEMENT : TokenType.CLOSE_EXPRESSION, "");
                position += strips ? 3 : 2;
                afterTag(strips, statement);
                return;
            }
            char c = source.charAt(position);
            if (c == '\'' || c == '"') {
                string();
            } else if (isDigit(c)) {
                number();
            } else if (isWord(c)) {
                int start = position;
                int stop = start;
                while (stop < end && isWord(source.charAt(stop))) {
                    stop++;
                }
                add(TokenType.NAME, source.substring(start, stop));
                position = stop;
            } else {
                String symbol = symbol();
                braces += symbol.equals("{") ? 1 : symbol.equals("}") ? -1 : 0;
            }
        }
    }

    private String symbol() {
        for (String symbol : SYMBOLS) {
            if (at(symbol, position)) {
                add(TokenType.SYMBOL, symbol);
                position += symbol.length();
                return symbol;
            }
        }
        throw error(
                Kind.SYNTAX,
                "unexpected character '" + Character.toString(source.codePointAt(position)) + "' in a tag");
    }

    private void number() {
        int stop = position;
        while (stop < end && isDigit(source.charAt(stop))) {
            stop++;
        }
        boolean afterDot = !tokens.isEmpty() && tokens.getLast().is(TokenType.SYMBOL, ".");
        if (!afterDot && at(".", stop) && stop + 1 < end && isDigit(source.charAt(stop + 1))) {
            stop++;
            while (stop < end && isDigit(source.charAt(stop))) {
                stop++;
            }
        }
        add(TokenType.NUMBER, source.substring(position, stop));
        position = stop;
    }

    private void string() {
        char quote = source.charAt(position);
        StringBuilder text = new StringBuilder();
        int next = position + 1;
        while (next < end && source.charAt(next) != quote) {
            char c = source.charAt(next++);
            if (c != '\\') {
                text.append(c);
                continue;
            }
            char escaped = next < end ? source.charAt(next++) : '\0';
            switch (escaped) {
                case 'n' -> text.append('\n');
                case 't' -> text.append('\t');
                case 'r' -> text.append('\r');
                case 'b' -> text.append('\b');
                case 'f' -> text.append('\f');
                case 'v' -> text.append('\u000B');
                case '\'', '"', '\\' -> text.append(escaped);
                case 'x', 'u' -> {
                    int digits = escaped == 'x' ? 2 : 4;
                    text.append(hex(next, digits));
                    next += digits;
                }
                default -> throw error(Kind.UNSUPPORTED, "the escape '\\" + escaped + "' in a string is not supported");
            }
        }
        if (next >= end) {
            throw error(Kind.SYNTAX, "this string is never closed by " + quote);
        }
        add(TokenType.STRING, text.toString());
        position = next + 1;
    }

    private char hex(int start, int digits) {
        int code = 0;
        for (int i = start; i < start + digits; i++) {
            int digit = i < end && source.charAt(i) < 0x80 ? Character.digit(source.charAt(i), 16) : -1;
            if (digit < 0) {
                throw error(Kind.SYNTAX, "a hexadecimal escape in a string needs " + digits + " digits");
            }
            code = 16 * code + digit;
        }
        return (char) code;
    }

    private void afterTag(boolean strips, boolean dropsNewline) {
        if (strips) {
            skipSpace();
        } else if (dropsNewline && position < end && source.charAt(position) == '\n') {
            position++;
        }
    }

    private void skipSpace() {
        while (position < end && Text.isSpace(source.charAt(position))) {
            position++;
        }
    }

    private void stripTextBefore() {
        while (!tokens.isEmpty() && tokens.getLast().type() == TokenType.TEXT) {
            Token last = tokens.removeLast();
            Text stripped = Text.template(last.text()).strip(false, true);
            if (!stripped.isEmpty()) {
                tokens.add(new Token(TokenType.TEXT, stripped.chars(), last.line()));
                return;
            }
        }
    }

    private boolean at(String expected, int index) {
        return index + expected.length() <= end && source.startsWith(expected, index);
    }

    private static boolean isDigit(char c) {
        return c >= '0' && c <= '9';
    }

    private static boolean isWord(char c) {
        return isDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    }

    private void add(TokenType type, String text) {
        tokens.add(new Token(type, text, lineAt(position)));
    }

    private int lineAt(int index) {
        for (; linePosition < index; linePosition++) {
            if (source.charAt(linePosition) == '\n') {
                line++;
            }
        }
        return line;
    }

    private TemplateException error(Kind kind, String message) {
        return TemplateException.at(kind, lineAt(position), message);
    }
}
