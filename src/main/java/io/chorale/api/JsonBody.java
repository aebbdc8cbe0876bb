package io.chorale.api;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.chorale.adapter.JsonFault;
import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.MultivaluedMap;
import jakarta.ws.rs.ext.Provider;
import java.io.IOException;
import java.io.InputStream;
import java.lang.annotation.Annotation;
import java.lang.reflect.Type;
import java.time.Duration;
import org.jboss.resteasy.reactive.server.spi.ResteasyReactiveResourceInfo;
import org.jboss.resteasy.reactive.server.spi.ServerMessageBodyReader;
import org.jboss.resteasy.reactive.server.spi.ServerRequestContext;

/**
 * Reads the body of a request as a JSON object, within bounds. It is in memory when this runs, see {@link BodyIntake}; a long
 * one becomes values when they are asked for, which is on a worker.
 */
@Provider
@Consumes(MediaType.APPLICATION_JSON)
public class JsonBody implements ServerMessageBodyReader<Fields> {
    private static final int DEPTH_MAX = 64;
    private static final int NUMBER_CHARS_MAX = 100;

    /** Names, values, begins and ends. An empty object is two, takes 80 bytes of memory and three of text. */
    private static final int TOKENS_MAX = 2 << 20;

    private final JsonMapper mapper = JsonMapper.builder(JsonFactory.builder()
                    .streamReadConstraints(StreamReadConstraints.builder()
                            .maxNestingDepth(DEPTH_MAX)
                            .maxNumberLength(NUMBER_CHARS_MAX)
                            .maxTokenCount(TOKENS_MAX)
                            .build())
                    .build())
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            // A gateway in front may have read the other of the two.
            .enable(DeserializationFeature.FAIL_ON_READING_DUP_TREE_KEY)
            .build();
    private final int bytesMax;

    /**
     * @param bytes that a body may have
     * @param bytesOfAll that long bodies may have together; the longest fits in any case
     * @param within what time a body must come
     */
    public record Limit(int bytes, long bytesOfAll, Duration within) {}

    JsonBody(Limit limit) {
        this.bytesMax = limit.bytes();
    }

    static Problem tooLarge(long bytesMax) {
        return Problem.invalid(
                413, "request_too_large", null, "The request body is larger than the " + bytesMax + " bytes allowed.");
    }

    @Override
    public boolean isReadable(
            Class<?> type, Type genericType, ResteasyReactiveResourceInfo target, MediaType mediaType) {
        return type == Fields.class;
    }

    @Override
    public boolean isReadable(Class<?> type, Type genericType, Annotation[] annotations, MediaType mediaType) {
        return type == Fields.class;
    }

    @Override
    public Fields readFrom(Class<Fields> type, Type genericType, MediaType mediaType, ServerRequestContext context) {
        return read(context.getInputStream());
    }

    @Override
    public Fields readFrom(
            Class<Fields> type,
            Type genericType,
            Annotation[] annotations,
            MediaType mediaType,
            MultivaluedMap<String, String> headers,
            InputStream stream) {
        return read(stream);
    }

    /** @throws Problem 413 where it is longer than allowed */
    private Fields read(InputStream stream) {
        try {
            byte[] bytes = stream.readNBytes(bytesMax + 1);
            if (bytes.length > bytesMax) {
                throw tooLarge(bytesMax);
            }
            return Fields.root(() -> parsed(bytes));
        } catch (IOException unread) {
            throw Problem.invalid(
                    400, "invalid_body", null, "The request body could not be read: " + unread.getMessage());
        }
    }

    /** @throws Problem 400 where it is not JSON */
    private JsonNode parsed(byte[] bytes) {
        try {
            return mapper.readTree(bytes);
        } catch (JacksonException malformed) {
            throw Problem.invalid(
                    400,
                    "invalid_json",
                    null,
                    "The request body is not valid JSON: " + JsonFault.words(malformed) + ".");
        } catch (IOException unread) {
            throw Problem.invalid(
                    400, "invalid_body", null, "The request body could not be read: " + unread.getMessage());
        }
    }
}
