package io.chorale.text.jinja;

/** A piece of a template's source; {@code text} is unescaped for strings. */
record Token(TokenType type, String text, int line) {
    boolean is(TokenType wanted, String wantedText) {
        return type == wanted && text.equals(wantedText);
    }

    /** What an error message calls this token. */
    String described() {
        return switch (type) {
            case NAME, NUMBER, SYMBOL -> "'" + text + "'";
            default -> type.description();
        };
    }
}
