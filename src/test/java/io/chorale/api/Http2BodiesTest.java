package io.chorale.api;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.RestAssured;
import io.vertx.core.Future;
import io.vertx.core.Vertx;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.http.HttpClient;
import io.vertx.core.http.HttpClientOptions;
import io.vertx.core.http.HttpClientRequest;
import io.vertx.core.http.HttpMethod;
import io.vertx.core.http.HttpVersion;
import jakarta.inject.Inject;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Over HTTP/2 a connection has many streams: a request that is refused before it is whole ends its own alone. */
@QuarkusTest
@TestProfile(LongBodiesProfile.class)
class Http2BodiesTest {
    private static final String ASKS = "{\"model\":\"tokens\",\"prompt\":[1],\"max_tokens\":2}";

    private record Answer(int status, String requestId, String body) {}

    @Inject
    Vertx vertx;

    private HttpClient client;

    @BeforeEach
    void connect() {
        client = vertx.createHttpClient(new HttpClientOptions()
                .setProtocolVersion(HttpVersion.HTTP_2)
                .setHttp2ClearTextUpgrade(false)
                .setHttp2MaxPoolSize(1)
                .setDefaultHost("localhost")
                .setDefaultPort(RestAssured.port));
    }

    @AfterEach
    void leave() {
        client.close();
    }

    private HttpClientRequest begin(String header, String value) {
        return await(client.request(HttpMethod.POST, "/v1/completions"))
                .putHeader("Content-Type", "application/json")
                .putHeader("x-request-id", "asked")
                .putHeader(header, value)
                .exceptionHandler(reset -> {});
    }

    private static CompletableFuture<Answer> answer(HttpClientRequest request) {
        return request.response()
                .compose(response -> response.body()
                        .map(body -> new Answer(
                                response.statusCode(),
                                String.valueOf(response.getHeader("x-request-id")),
                                body.toString())))
                .toCompletionStage()
                .toCompletableFuture();
    }

    private static <T> T await(Future<T> future) {
        return future.toCompletionStage()
                .toCompletableFuture()
                .orTimeout(60, TimeUnit.SECONDS)
                .join();
    }

    private static void assertRefused(int status, String code, CompletableFuture<Answer> answer) {
        Answer refused = answer.orTimeout(60, TimeUnit.SECONDS).join();
        assertEquals(status, refused.status(), refused::body);
        assertTrue(refused.body().contains("\"code\":\"" + code + "\""), refused::body);
        assertEquals("asked", refused.requestId());
    }

    @Test
    void shouldEndTheStreamOfASlowBodyAlone() {
        HttpClientRequest slow = begin("Content-Length", "100000");
        CompletableFuture<Answer> refused = answer(slow);
        CompletableFuture<Void> ended = new CompletableFuture<>();
        slow.exceptionHandler(reset -> ended.complete(null));
        await(slow.sendHead());
        await(slow.write("{"));
        HttpClientRequest other = begin("Content-Length", String.valueOf(ASKS.length()));
        await(other.sendHead());
        assertRefused(408, "request_timeout", refused);
        ended.orTimeout(60, TimeUnit.SECONDS).join();
        other.end(ASKS);
        assertEquals(200, answer(other).orTimeout(60, TimeUnit.SECONDS).join().status());
        assertEquals(slow.connection(), other.connection());
    }

    @Test
    void shouldRefuseWhatIsTooLong() {
        int more = LongBodiesProfile.BYTES_MAX + 100;
        HttpClientRequest declared = begin("Content-Length", String.valueOf(more));
        CompletableFuture<Answer> refused = answer(declared);
        declared.write(Buffer.buffer(new byte[1000]));
        assertRefused(413, "request_too_large", refused);
        HttpClientRequest undeclared = begin("Accept", "*/*").setChunked(true);
        refused = answer(undeclared);
        undeclared.write(Buffer.buffer(new byte[more]));
        assertRefused(413, "request_too_large", refused);
    }

    @Test
    void shouldRefuseWhatIsCompressed() {
        HttpClientRequest compressed = begin("Content-Encoding", "gzip");
        CompletableFuture<Answer> refused = answer(compressed);
        compressed.end(ASKS);
        assertRefused(415, "unsupported_media_type", refused);
    }
}
