package io.chorale.text.jinja;

/** What a token is. */
enum TokenType {
    TEXT("text"),
    COMMENT("a comment"),
    OPEN_STATEMENT("'{%'"),
    CLOSE_STATEMENT("'%}'"),
    OPEN_EXPRESSION("'{{'"),
    CLOSE_EXPRESSION("'}}'"),
    NAME("a name"),
    NUMBER("a number"),
    STRING("a string"),
    SYMBOL("a symbol"),
    END("the end of the template");

    private final String description;

    TokenType(String description) {
        this.description = description;
    }

    /** What an error message calls such a token. */
    String description() {
        return description;
    }
}
