package io.chorale.adapter;

import java.util.List;

/** Why an administrator's wish is not granted. */
public final class AdapterRefusal extends Exception {
    /** What kind of reason; what to answer follows from it. */
    public enum Kind {
        /** The wish itself is malformed. */
        MALFORMED,
        /** A source that this server does not read from. */
        FORBIDDEN,
        NOT_FOUND,
        /** What is there already stands against it. */
        CONFLICT,
        /** The name is an adapter's, which was not to be replaced. */
        TAKEN,
        TOO_LARGE,
        /** The doctor found something. */
        INVALID,
        /** Host memory that pins may take is used up. */
        NO_ROOM,
        /** The source does not answer now, or not as it should. */
        SOURCE_FAILED
    }

    private final Kind kind;
    private final List<String> problems;

    public AdapterRefusal(Kind kind, String message) {
        this(kind, message, List.of());
    }

    AdapterRefusal(Kind kind, String message, List<String> problems) {
        super(message, null, false, false);
        this.kind = kind;
        this.problems = List.copyOf(problems);
    }

    public Kind kind() {
        return kind;
    }

    public String message() {
        return String.valueOf(getMessage());
    }

    /** Everything that the doctor found, a sentence each; empty for every other kind. */
    public List<String> problems() {
        return problems;
    }
}
