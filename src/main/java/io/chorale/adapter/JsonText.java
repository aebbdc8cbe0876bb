package io.chorale.adapter;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import java.io.ByteArrayInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Reads untrusted JSON: strict UTF-8, no key twice, bounded in depth, in length of names, strings and numbers. */
final class JsonText {
    private static final int DEPTH_MAX = 32;
    private static final int NUMBER_CHARS_MAX = 64;
    private static final int TEXT_CHARS_MAX = 1 << 20;
    private static final int NAME_CHARS_MAX = 4096;

    private static final JsonFactory FACTORY = JsonFactory.builder()
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxNestingDepth(DEPTH_MAX)
                    .maxNumberLength(NUMBER_CHARS_MAX)
                    .maxStringLength(TEXT_CHARS_MAX)
                    .maxNameLength(NAME_CHARS_MAX)
                    .build())
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .disable(StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION)
            // Names come from files: interning them would fill a table that is never emptied.
            .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
            .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
            .build();

    private JsonText() {}

    static JsonParser parser(byte[] utf8, int from, int count) throws IOException {
        Reader strict = new InputStreamReader(
                new ByteArrayInputStream(utf8, from, count),
                StandardCharsets.UTF_8
                        .newDecoder()
                        .onMalformedInput(CodingErrorAction.REPORT)
                        .onUnmappableCharacter(CodingErrorAction.REPORT));
        return FACTORY.createParser(strict);
    }

    /** Reads a file of one JSON object. */
    static JsonObject readObject(Path file, long bytesMax) throws FileRejectedException {
        byte[] bytes;
        try {
            expectRegular(file);
            long size = Files.size(file);
            if (size > bytesMax) {
                throw new FileRejectedException(
                        file + ": has " + size + " bytes, more than the " + bytesMax + " that are read of such a file");
            }
            bytes = Files.readAllBytes(file);
        } catch (IOException unreadable) {
            throw new FileRejectedException(file + ": cannot be read: " + reason(unreadable));
        }
        return readObject(file.toString(), bytes);
    }

    /** A pipe would be waited for, and a device read without end, whatever size it says it has. */
    static void expectRegular(Path file) throws IOException {
        if (Files.exists(file) && !Files.isRegularFile(file)) {
            throw new IOException("it is no regular file");
        }
    }

    /** @param source where it is from, for messages */
    static JsonObject readObject(String source, byte[] utf8) throws FileRejectedException {
        try (JsonParser parser = parser(utf8, 0, utf8.length)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw new FileRejectedException(source + ": is not a JSON object");
            }
            Map<String, @Nullable Object> fields = objectAt(parser);
            if (parser.nextToken() != null) {
                throw new FileRejectedException(source + ": something follows the JSON object");
            }
            return new JsonObject(source, "", fields);
        } catch (IOException malformed) {
            throw new FileRejectedException(source + ": is not valid JSON: " + reason(malformed));
        }
    }

    /** What failed, in a line. */
    static String reason(IOException failure) {
        if (failure instanceof JacksonException malformed) {
            return JsonFault.words(malformed);
        }
        if (failure instanceof CharacterCodingException) {
            return "it is not UTF-8";
        }
        String message = String.valueOf(failure.getMessage());
        int end = message.indexOf('\n');
        String kind = failure instanceof NoSuchFileException ? "no such file " : "";
        return kind + (end < 0 ? message : message.substring(0, end));
    }

    private static Map<String, @Nullable Object> objectAt(JsonParser parser) throws IOException {
        Map<String, @Nullable Object> fields = new LinkedHashMap<>();
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String name = parser.currentName();
            parser.nextToken();
            fields.put(name, valueAt(parser));
        }
        return fields;
    }

    private static @Nullable Object valueAt(JsonParser parser) throws IOException {
        return switch (parser.currentToken()) {
            case START_OBJECT -> objectAt(parser);
            case START_ARRAY -> {
                List<@Nullable Object> items = new ArrayList<>();
                while (parser.nextToken() != JsonToken.END_ARRAY) {
                    items.add(valueAt(parser));
                }
                yield items;
            }
            case VALUE_STRING -> parser.getText();
            case VALUE_TRUE -> true;
            case VALUE_FALSE -> false;
            case VALUE_NULL -> null;
            // One number type is enough for settings; integers up to 2^53 are exact.
            case VALUE_NUMBER_INT, VALUE_NUMBER_FLOAT -> parser.getDoubleValue();
            case null -> throw new EOFException("it ends too early");
            default -> throw new IOException("unexpected " + parser.currentToken());
        };
    }
}
