package io.chorale.text;

/** Why a model's text files or a conversation cannot be used. */
public final class TextException extends RuntimeException {
    /** What is wrong. */
    public enum Kind {
        /** The model directory holds a file that cannot be read for what it is. */
        MALFORMED_FILE,
        /** A conversation was given to a model that has no chat template. */
        NO_CHAT_TEMPLATE,
        /** The messages hold text that this tokenizer cannot keep apart from its special tokens. */
        UNSAFE_CONTENT
    }

    private final Kind kind;

    TextException(Kind kind, String message) {
        super(message);
        this.kind = kind;
    }

    TextException(Kind kind, String message, Throwable cause) {
        super(message, cause);
        this.kind = kind;
    }

    public Kind kind() {
        return kind;
    }
}
