package io.chorale.api;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.io.InputStream;
import org.jspecify.annotations.Nullable;

/** Reads the body of a request as JSON, within bounds. */
public final class JsonBody {
    private static final int DEPTH_MAX = 64;

    private final JsonMapper mapper = JsonMapper.builder(JsonFactory.builder()
                    .streamReadConstraints(StreamReadConstraints.builder()
                            .maxNestingDepth(DEPTH_MAX)
                            .maxNumberLength(100)
                            .build())
                    .build())
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();
    private final int bytesMax;

    public JsonBody(int bytesMax) {
        this.bytesMax = bytesMax;
    }

    /** @throws Problem 413 where it is longer than allowed, 400 where it is not a JSON object */
    Fields read(InputStream stream, @Nullable String contentLength) {
        if (contentLength != null && contentLength.length() <= 18 && Long.parseLong(contentLength) > bytesMax) {
            throw tooLarge();
        }
        try {
            byte[] bytes = stream.readNBytes(bytesMax + 1);
            if (bytes.length > bytesMax) {
                throw tooLarge();
            }
            JsonNode root = mapper.readTree(bytes);
            return Fields.root(root);
        } catch (JacksonException malformed) {
            throw ProblemMapper.malformedJson(malformed);
        } catch (IOException unread) {
            throw Problem.invalid(
                    400, "invalid_body", null, "The request body could not be read: " + unread.getMessage());
        }
    }

    private Problem tooLarge() {
        return Problem.invalid(
                413, "request_too_large", null, "The request body is larger than the " + bytesMax + " bytes allowed.");
    }
}
