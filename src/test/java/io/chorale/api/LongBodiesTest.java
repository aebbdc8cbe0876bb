package io.chorale.api;

import static io.restassured.RestAssured.given;
import static org.hamcrest.Matchers.containsString;
import static org.hamcrest.Matchers.equalTo;
import static org.hamcrest.Matchers.notNullValue;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.RestAssured;
import io.restassured.http.ContentType;
import io.restassured.response.Response;
import java.io.IOException;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What long bodies may take of the server's memory, alone and together. */
@QuarkusTest
@TestProfile(LongBodiesProfile.class)
class LongBodiesTest {
    private static final String ASKS = "{\"model\":\"tokens\",\"prompt\":[1],\"max_tokens\":2,\"x\":";

    private static String body(int bytes) {
        return ASKS + "\"" + "a".repeat(bytes - ASKS.length() - 3) + "\"}";
    }

    private static Response post(String path, String body) {
        return given().contentType(ContentType.JSON).body(body).post(path);
    }

    private static int status(String body) {
        return post("/v1/completions", body).statusCode();
    }

    /** A client that sends all of a body but its last byte. */
    private static Socket withhold(String body) throws IOException {
        Socket socket = new Socket("localhost", RestAssured.port);
        String head =
                "POST /v1/completions HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: "
                        + body.length() + "\r\n\r\n";
        socket.getOutputStream().write(head.getBytes(StandardCharsets.US_ASCII));
        socket.getOutputStream().write(body.getBytes(StandardCharsets.US_ASCII), 0, body.length() - 1);
        socket.getOutputStream().flush();
        return socket;
    }

    @Test
    void shouldReadOnlySoManyLongBodiesAtOnce() throws IOException, InterruptedException {
        String longest = body(LongBodiesProfile.BYTES_MAX);
        List<Socket> withheld = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            withheld.add(withhold(longest));
        }
        String another = body(1 << 20);
        long until = System.currentTimeMillis() + 20_000;
        while (status(another) != 503) {
            assertTrue(System.currentTimeMillis() < until, "two bodies of 4 MiB are not held against the third");
        }
        post("/v1/completions", another)
                .then()
                .statusCode(503)
                .header("Retry-After", notNullValue())
                .body("error.code", equalTo("server_overloaded"))
                .body("error.message", containsString("as many long requests as it may"));
        assertEquals(200, status(body(60 << 10)), "short ones are read in any case");
        withheld.getFirst().getOutputStream().write('}');
        assertEquals('H', withheld.getFirst().getInputStream().read(), "it is answered");
        for (Socket socket : withheld) {
            socket.close();
        }
        until = System.currentTimeMillis() + 20_000;
        while (status(longest) != 200) {
            assertTrue(System.currentTimeMillis() < until, "what was taken is not given back");
            Thread.sleep(20);
        }
    }

    @Test
    void shouldHaveNoThreadWaitForSlowBodies() throws IOException {
        List<Socket> withheld = new ArrayList<>();
        for (int i = 0; i < 300; i++) { // more than there are workers
            withheld.add(withhold(body(20 << 10)));
        }
        RestAssured.get("/v1/adapters").then().statusCode(200);
        RestAssured.get("/q/health/live").then().statusCode(200);
        assertEquals(200, status(body(20 << 10)));
        for (Socket socket : withheld) {
            socket.close();
        }
    }

    @Test
    void shouldNotWaitForABodyForEver() throws IOException {
        try (Socket socket = withhold(body(1 << 20))) {
            socket.setSoTimeout(60_000);
            String answer = new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            assertTrue(answer.startsWith("HTTP/1.1 408 "), answer);
            assertTrue(answer.contains("\"code\":\"request_timeout\""), answer);
        }
    }

    @Test
    void shouldNotReadOnPastTheBound() throws IOException {
        try (Socket socket = new Socket("localhost", RestAssured.port)) {
            socket.setSoTimeout(60_000);
            int more = LongBodiesProfile.BYTES_MAX + 100;
            String head = "POST /v1/completions HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
                    + "Transfer-Encoding: chunked\r\n\r\n" + Integer.toHexString(2 * more) + "\r\n";
            socket.getOutputStream().write(head.getBytes(StandardCharsets.US_ASCII));
            socket.getOutputStream().write(new byte[more]);
            String answer = new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            assertTrue(answer.startsWith("HTTP/1.1 413 "), answer);
        }
    }

    /** As curl asks before it sends a long body. */
    @Test
    void shouldSayThatABodyMayCome() throws IOException {
        String body = body(1 << 20);
        try (Socket socket = new Socket("localhost", RestAssured.port)) {
            socket.setSoTimeout(60_000);
            String head = "POST /v1/completions HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
                    + "Expect: 100-continue\r\nConnection: close\r\nContent-Length: " + body.length() + "\r\n\r\n";
            socket.getOutputStream().write(head.getBytes(StandardCharsets.US_ASCII));
            String may = new String(socket.getInputStream().readNBytes(25), StandardCharsets.US_ASCII);
            assertEquals("HTTP/1.1 100 Continue\r\n\r\n", may);
            socket.getOutputStream().write(body.getBytes(StandardCharsets.US_ASCII));
            String answer = new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            assertTrue(answer.startsWith("HTTP/1.1 200 "), answer);
        }
    }

    /** Twelve of each, which is more than there is at once. */
    @Test
    void shouldGiveBackWhatABodyTook() throws IOException {
        String whole = body(1 << 20);
        String wrong = whole.substring(0, whole.length() - 1);
        String streamed = whole.replace("\"max_tokens\":2", "\"max_tokens\":900,\"stream\":true");
        String ticket = "{\"requests\":[" + whole + "]}";
        for (int i = 0; i < 12; i++) {
            assertEquals(200, status(whole));
            assertEquals(400, status(wrong));
            assertEquals(404, status(whole.replace("\"tokens\"", "\"ghost\"")));
            assertEquals(400, post("/v1/plan", whole).statusCode());
            withhold(whole).close();
            try (RawHttp left = RawHttp.post("/v1/completions", streamed)) {
                assertEquals(200, left.status);
            }
            Response opened = post("/v1/streams", ticket);
            assertEquals(201, opened.statusCode());
            given().delete(opened.jsonPath().getString("url"));
        }
    }

    /** Millions of empty objects are a few bytes each as text, and many as values. */
    @Test
    void shouldBoundTheNumberOfValues() {
        String objects = ASKS + "[" + "{},".repeat(1_050_000) + "{}]}";
        post("/v1/completions", objects)
                .then()
                .statusCode(400)
                .body("error.code", equalTo("invalid_json"))
                .body("error.message", containsString("has too many values"));
        assertEquals(200, status(ASKS + "[" + "1,".repeat(1_050_000) + "1]}"));
    }
}
