package io.chorale.text;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import java.io.IOException;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What we need to know of a {@code tokenizer.json} besides what the tokenizer library does with it. The file, of up to
 * tens of megabytes, is streamed and never held as a tree.
 *
 * @param addedTokens tokens that are cut out of a text before the model splits the rest
 * @param inVocabulary those of them that the model's own vocabulary holds as well
 * @param byteTokens ids that stand for a single byte, if the decoder knows such
 * @param size one more than the largest id
 */
record TokenizerFile(List<AddedToken> addedTokens, Set<String> inVocabulary, BitSet byteTokens, int size) {
    record AddedToken(int id, String content, boolean special) {}

    private static final JsonFactory JSON = JsonFactory.builder()
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxStringLength(Integer.MAX_VALUE)
                    .maxNameLength(Integer.MAX_VALUE)
                    .build())
            // A vocabulary is no set of recurring names.
            .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
            .build();

    static TokenizerFile read(String json) throws IOException {
        Scan scan = new Scan();
        try (JsonParser parser = JSON.createParser(json)) {
            require(parser.nextToken() == JsonToken.START_OBJECT, "a JSON object");
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String field = parser.currentName();
                JsonToken value = parser.nextToken();
                if (field.equals("added_tokens") && value == JsonToken.START_ARRAY) {
                    scan.addedTokens(parser);
                } else if (field.equals("decoder")) {
                    scan.decoder(parser);
                } else {
                    parser.skipChildren();
                }
            }
        }
        try (JsonParser parser = JSON.createParser(json)) {
            parser.nextToken();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                boolean model = parser.currentName().equals("model");
                if (parser.nextToken() == JsonToken.START_OBJECT && model) {
                    scan.model(parser);
                } else {
                    parser.skipChildren();
                }
            }
        }
        return new TokenizerFile(List.copyOf(scan.addedTokens), scan.inVocabulary, scan.byteTokens, scan.size);
    }

    private static void require(boolean condition, String expected) throws IOException {
        if (!condition) {
            throw new IOException("expected " + expected);
        }
    }

    /** What two passes over the file find: added tokens come first, the vocabulary is compared with them. */
    private static final class Scan {
        private final List<AddedToken> addedTokens = new ArrayList<>();
        private final Set<String> addedContents = new HashSet<>();
        private final Set<String> inVocabulary = new HashSet<>();
        private final BitSet byteTokens = new BitSet();
        private boolean byteFallback;
        private int size;

        void addedTokens(JsonParser parser) throws IOException {
            while (parser.nextToken() == JsonToken.START_OBJECT) {
                int id = -1;
                String content = "";
                boolean special = false;
                while (parser.nextToken() == JsonToken.FIELD_NAME) {
                    String field = parser.currentName();
                    parser.nextToken();
                    switch (field) {
                        case "id" -> id = parser.getIntValue();
                        case "content" -> content = parser.getText();
                        case "special" -> special = parser.getBooleanValue();
                        default -> parser.skipChildren();
                    }
                }
                require(id >= 0 && !content.isEmpty(), "an id and a content for every added token");
                addedTokens.add(new AddedToken(id, content, special));
                addedContents.add(content);
                size = Math.max(size, id + 1);
            }
        }

        void decoder(JsonParser parser) throws IOException {
            int depth = 0;
            do {
                switch (parser.currentToken()) {
                    case START_OBJECT, START_ARRAY -> depth++;
                    case END_OBJECT, END_ARRAY -> depth--;
                    case VALUE_STRING -> byteFallback |= parser.getText().equals("ByteFallback");
                    default -> {}
                }
            } while (depth > 0 && parser.nextToken() != null);
        }

        void model(JsonParser parser) throws IOException {
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                boolean vocabulary = parser.currentName().equals("vocab");
                JsonToken value = parser.nextToken();
                if (vocabulary && value == JsonToken.START_OBJECT) {
                    while (parser.nextToken() == JsonToken.FIELD_NAME) {
                        String token = parser.currentName();
                        parser.nextToken();
                        entry(token, parser.getIntValue());
                    }
                } else if (vocabulary && value == JsonToken.START_ARRAY) {
                    // A unigram model lists pairs of token and score.
                    for (int id = 0; parser.nextToken() == JsonToken.START_ARRAY; id++) {
                        parser.nextToken();
                        entry(parser.getText(), id);
                        while (parser.nextToken() != JsonToken.END_ARRAY) {
                            parser.skipChildren();
                        }
                    }
                } else {
                    parser.skipChildren();
                }
            }
        }

        private void entry(String token, int id) throws IOException {
            require(id >= 0, "token ids from 0 up");
            size = Math.max(size, id + 1);
            if (addedContents.contains(token)) {
                inVocabulary.add(token);
            }
            boolean isByte = byteFallback && token.length() == 6 && token.startsWith("<0x") && token.endsWith(">");
            if (isByte) {
                byteTokens.set(id);
            }
        }
    }

    /**
     * The same tokenizer under other names: added tokens and entries of the vocabulary that {@code aliases} has as keys
     * are renamed, so that their old text is ordinary text to it. Merges that would make a renamed token are left out.
     */
    static String renamed(String json, Map<String, String> aliases) throws IOException {
        StringWriter result = new StringWriter(json.length());
        try (JsonParser parser = JSON.createParser(json);
                JsonGenerator generator = JSON.createGenerator(result)) {
            parser.nextToken();
            generator.writeStartObject();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String field = parser.currentName();
                generator.writeFieldName(field);
                parser.nextToken();
                switch (field) {
                    case "added_tokens" -> copyRenaming(parser, generator, aliases, Set.of("content"));
                    case "model" -> copyModel(parser, generator, aliases);
                    default -> generator.copyCurrentStructure(parser);
                }
            }
            generator.writeEndObject();
        }
        return result.toString();
    }

    private static void copyModel(JsonParser parser, JsonGenerator generator, Map<String, String> aliases)
            throws IOException {
        generator.writeStartObject();
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String field = parser.currentName();
            generator.writeFieldName(field);
            parser.nextToken();
            switch (field) {
                case "vocab" -> copyVocabulary(parser, generator, aliases);
                case "merges" -> copyMerges(parser, generator, aliases.keySet());
                case "unk_token" -> copyRenaming(parser, generator, aliases, Set.of(""));
                default -> generator.copyCurrentStructure(parser);
            }
        }
        generator.writeEndObject();
    }

    private static void copyVocabulary(JsonParser parser, JsonGenerator generator, Map<String, String> aliases)
            throws IOException {
        if (parser.currentToken() == JsonToken.START_ARRAY) {
            copyRenaming(parser, generator, aliases, Set.of(""));
            return;
        }
        generator.writeStartObject();
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String token = parser.currentName();
            generator.writeFieldName(aliases.getOrDefault(token, token));
            parser.nextToken();
            generator.copyCurrentEvent(parser);
        }
        generator.writeEndObject();
    }

    /** Merges are written as {@code "left right"} or as pairs. */
    private static void copyMerges(JsonParser parser, JsonGenerator generator, Set<String> renamed) throws IOException {
        generator.writeStartArray();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
            boolean pair = parser.currentToken() == JsonToken.START_ARRAY;
            String left = pair ? parser.nextTextValue() : parser.getText();
            String right = pair ? parser.nextTextValue() : "";
            if (pair) {
                parser.nextToken();
            } else {
                int space = left.indexOf(' ', 1);
                require(space > 0, "two tokens in every merge");
                right = left.substring(space + 1);
                left = left.substring(0, space);
            }
            if (renamed.contains(left) || renamed.contains(right) || renamed.contains(left + right)) {
                continue;
            }
            if (pair) {
                generator.writeStartArray();
                generator.writeString(left);
                generator.writeString(right);
                generator.writeEndArray();
            } else {
                generator.writeString(left + " " + right);
            }
        }
        generator.writeEndArray();
    }

    /** Copies a value, renaming the strings in it that stand under one of {@code fields}, {@code ""} for no field. */
    private static void copyRenaming(
            JsonParser parser, JsonGenerator generator, Map<String, String> aliases, Set<String> fields)
            throws IOException {
        int depth = 0;
        String field = "";
        do {
            JsonToken token = parser.currentToken();
            switch (token) {
                case START_OBJECT, START_ARRAY -> depth++;
                case END_OBJECT, END_ARRAY -> depth--;
                case FIELD_NAME -> field = parser.currentName();
                default -> {}
            }
            if (token == JsonToken.VALUE_STRING && fields.contains(field)) {
                generator.writeString(aliases.getOrDefault(parser.getText(), parser.getText()));
            } else {
                generator.copyCurrentEvent(parser);
            }
        } while (depth > 0 && parser.nextToken() != null);
    }
}
