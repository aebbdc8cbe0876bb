package io.chorale.api;

import static io.restassured.RestAssured.given;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.http.ContentType;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** Where traces are turned on, a collector gets a request's stages as spans of the caller's trace. */
@QuarkusTest
@TestProfile(TracesTest.Traced.class)
class TracesTest {
    private static final String TRACE = "0af7651916cd43dd8448eb211c80319c";
    private static final BlockingQueue<String> EXPORTS = new LinkedBlockingQueue<>();

    /** As an operator turns them on, with a collector of our own. */
    public static class Traced extends TokensProfile {
        @Override
        public Map<String, String> getConfigOverrides() {
            Map<String, String> settings = new HashMap<>(super.getConfigOverrides());
            settings.put("quarkus.otel.sdk.disabled", "false");
            settings.put("quarkus.otel.exporter.otlp.protocol", "http/protobuf");
            settings.put("quarkus.otel.exporter.otlp.endpoint", "http://localhost:" + collector());
            settings.put("quarkus.otel.bsp.schedule.delay", "100ms");
            return settings;
        }

        private static int collector() {
            try {
                HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
                server.createContext("/v1/traces", exchange -> {
                    // Names and attributes stand in protobuf as they are.
                    EXPORTS.add(new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.ISO_8859_1));
                    exchange.sendResponseHeaders(200, -1);
                    exchange.close();
                });
                server.start();
                return server.getAddress().getPort();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    @Test
    void shouldSendTheStagesToACollector() throws InterruptedException {
        given().contentType(ContentType.JSON)
                .header("traceparent", "00-" + TRACE + "-b7ad6b7169203331-01")
                .body("{\"model\":\"pirate\",\"prompt\":[1,2],\"max_tokens\":8}")
                .post("/v1/completions")
                .then()
                .statusCode(200);
        StringBuilder exported = new StringBuilder();
        List<String> names = List.of("queue", "adapter load", "prefill", "decode", "gen_ai.request.model", "pirate");
        for (int i = 0; i < 20 && !names.stream().allMatch(name -> exported.indexOf(name) >= 0); i++) {
            String export = EXPORTS.poll(1, TimeUnit.SECONDS);
            exported.append(export == null ? "" : export);
        }
        for (String name : names) {
            assertTrue(exported.indexOf(name) >= 0, name + " was not exported");
        }
        String trace = new String(HexFormat.of().parseHex(TRACE), StandardCharsets.ISO_8859_1);
        assertEquals(
                5,
                exported.toString().split(java.util.regex.Pattern.quote(trace), -1).length - 1,
                "spans of the trace");
    }
}
