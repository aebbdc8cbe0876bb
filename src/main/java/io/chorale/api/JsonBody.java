package io.chorale.api;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.chorale.adapter.JsonFault;
import io.quarkus.vertx.http.runtime.CurrentVertxRequest;
import jakarta.ws.rs.Consumes;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.MultivaluedMap;
import jakarta.ws.rs.ext.Provider;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.annotation.Annotation;
import java.lang.reflect.Type;
import java.time.Duration;
import org.jboss.resteasy.reactive.server.spi.ResteasyReactiveResourceInfo;
import org.jboss.resteasy.reactive.server.spi.ServerMessageBodyReader;
import org.jboss.resteasy.reactive.server.spi.ServerRequestContext;

/**
 * Reads the body of a request as a JSON object, within bounds: of its own length, of what the tree of its values takes, and
 * of what all long bodies take together. A short body is in memory when this runs, on the event loop; a longer one is read
 * here, on a worker.
 */
@Provider
@Consumes(MediaType.APPLICATION_JSON)
public class JsonBody implements ServerMessageBodyReader<Fields> {
    private static final int DEPTH_MAX = 64;
    private static final int NUMBER_CHARS_MAX = 100;

    /** Names, values, begins and ends. An empty object is two, takes 80 bytes of memory and three of text. */
    private static final int TOKENS_MAX = 2 << 20;

    private static final int PIECE_BYTES = 256 << 10;
    private static final Duration RETRY_AFTER = Duration.ofSeconds(1);

    private final JsonMapper mapper = JsonMapper.builder(JsonFactory.builder()
                    .streamReadConstraints(StreamReadConstraints.builder()
                            .maxNestingDepth(DEPTH_MAX)
                            .maxNumberLength(NUMBER_CHARS_MAX)
                            .maxTokenCount(TOKENS_MAX)
                            .build())
                    .build())
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();
    private final int bytesMax;
    private final BodyBudget budget;
    private final CurrentVertxRequest current;

    /**
     * @param bytes that a body may have
     * @param bytesOfAll that long bodies may have together; the longest fits in any case
     */
    public record Limit(int bytes, long bytesOfAll) {}

    JsonBody(Limit limit, CurrentVertxRequest current) {
        this.bytesMax = limit.bytes();
        this.budget = new BodyBudget(Math.max(limit.bytesOfAll(), limit.bytes() + 1L));
        this.current = current;
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

    /** @throws Problem 413 where it is longer than allowed, 400 where it is not a JSON object */
    private Fields read(InputStream stream) {
        try {
            byte[] beginning = stream.readNBytes(Math.min(bytesMax, BodyBudget.SHORT_BYTES_MAX) + 1);
            byte[] whole = beginning.length > BodyBudget.SHORT_BYTES_MAX && beginning.length <= bytesMax
                    ? longBody(beginning, stream)
                    : beginning;
            if (whole.length > bytesMax) {
                throw tooLarge(bytesMax);
            }
            return Fields.root(mapper.readTree(whole));
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

    /** One byte more than is allowed, where it has that many. */
    private byte[] longBody(byte[] beginning, InputStream stream) throws IOException {
        BodyBudget.Share share = budget.share(current.getCurrent());
        ByteArrayOutputStream whole = new ByteArrayOutputStream(PIECE_BYTES);
        byte[] piece = beginning;
        boolean taken = false;
        try {
            while (piece.length > 0) {
                if (!share.grow(piece.length)) {
                    passOver(stream);
                    throw Problem.overloaded(
                            503,
                            "server_overloaded",
                            "The server is overloaded: it reads as many long requests as it may. Please try again later.",
                            RETRY_AFTER);
                }
                whole.writeBytes(piece);
                piece = stream.readNBytes(Math.min(PIECE_BYTES, bytesMax + 1 - whole.size()));
            }
            taken = true;
        } finally {
            if (!taken) {
                share.giveBack();
            }
        }
        return whole.toByteArray();
    }

    /** Whoever still sends does not look at an answer. */
    private void passOver(InputStream stream) throws IOException {
        int passed = 0;
        int more = 0;
        do {
            more = stream.readNBytes(PIECE_BYTES).length;
            passed += more;
        } while (more > 0 && passed < bytesMax);
    }
}
