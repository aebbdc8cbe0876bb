package io.chorale.adapter;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import com.fasterxml.jackson.core.io.JsonEOFException;
import com.fasterxml.jackson.databind.exc.MismatchedInputException;

/** What is wrong with a JSON text, and where: in our words, since the parser's name its classes and switches. */
public final class JsonFault {
    private static final String DUPLICATE = "Duplicate field ";
    private static final int SHOWN_CHARS_MAX = 80;

    private JsonFault() {}

    /** A clause such as {@code it ends too early (line 3, column 14)}. */
    public static String words(JacksonException malformed) {
        String what = switch (malformed) {
            case JsonEOFException e -> "it ends too early";
            case StreamConstraintsException e ->
                "it is nested too deep, has too many values, or a name, string or number is too long";
            case JacksonException e
            when e.getOriginalMessage().startsWith(DUPLICATE) -> duplicate(e.getOriginalMessage());
            case MismatchedInputException e -> "something follows the value";
            default -> "a character, name or value is wrong";
        };
        JsonLocation at = malformed.getLocation();
        return at == null ? what : what + " (line " + at.getLineNr() + ", column " + at.getColumnNr() + ")";
    }

    /** Names the field, and no class of the parser. */
    private static String duplicate(String message) {
        int end = message.lastIndexOf("' for `");
        String field = message.substring(DUPLICATE.length() + 1, end < 0 ? message.length() - 1 : end);
        return DUPLICATE + "'"
                + (field.length() > SHOWN_CHARS_MAX ? field.substring(0, SHOWN_CHARS_MAX) + "..." : field) + "'";
    }
}
