package io.chorale.api;

import static io.restassured.RestAssured.given;
import static org.hamcrest.Matchers.equalTo;
import static org.hamcrest.Matchers.nullValue;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.RestAssured;
import io.restassured.http.ContentType;
import java.io.IOException;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What somebody who means harm tries at the port; docs/SECURITY.md lists these and others. */
@QuarkusTest
@TestProfile(TokensProfile.class)
class AttackTest {
    /** A frame of a stack trace, or the name of an exception's class. */
    private static final Pattern INSIDES = Pattern.compile("\\bat [a-z]+(\\.[\\w$]+)+\\(|\\b[\\w.]+Exception\\b");

    @ParameterizedTest
    @ValueSource(
            strings = {
                "/../application.properties",
                "/page/../../application.properties",
                "/page/..%2f..%2fapplication.properties",
                "/page/%2e%2e/%2e%2e/application.properties",
                "/..%5capplication.properties",
                "/page/..;/..;/application.properties",
                "//etc/passwd",
                "/%00/index.html",
                "/META-INF/MANIFEST.MF",
                "/application.properties",
                "/page/%c0%ae%c0%ae/application.properties",
            })
    void shouldServeNoFileButThePage(String path) throws IOException {
        try (RawHttp http = RawHttp.get(path, "")) {
            String body = http.body();
            assertTrue(http.status == 404 || http.status == 400, path + " got " + http.status);
            assertFalse(body.contains("quarkus."), body);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"/v1/models/pirate;x", "/v1/adapters/pirate;x=1", "/v1;x/models", "/v1/adapters;x"})
    void shouldNotLookForAPartOfAName(String path) throws IOException {
        try (RawHttp http = RawHttp.get(path, "")) {
            assertEquals(404, http.status);
            assertTrue(http.body().contains("\"not_found\""));
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "tokens/../broken", "pirate\u0000"})
    void shouldNotTakeAPathForAModel(String model) {
        given().contentType(ContentType.JSON)
                .body("{\"model\":\"" + model.replace("\u0000", "\\u0000") + "\",\"prompt\":[1],\"max_tokens\":1}")
                .post("/v1/completions")
                .then()
                .statusCode(404)
                .body("error.code", equalTo("model_not_found"));
    }

    @Test
    void shouldBoundTheHead() throws IOException {
        try (RawHttp http = RawHttp.get("/v1/models", "x-filler: " + "a".repeat(64 << 10) + "\r\n")) {
            assertEquals(431, http.status);
        }
        try (RawHttp http = RawHttp.get("/" + "a".repeat(64 << 10), "")) {
            assertEquals(414, http.status);
        }
    }

    /** A second request hidden in the first: the length that counts is one, and the rest is not read as a request. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "Content-Length: 5\r\nContent-Length: 6\r\n",
                "Content-Length: -1\r\n",
                "Content-Length: 5, 6\r\n",
                "Transfer-Encoding: chunked, identity\r\nContent-Length: x\r\n",
            })
    void shouldRefuseAmbiguousLengths(String headers) throws IOException {
        try (RawHttp http = RawHttp.send(
                "POST /v1/completions HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n" + headers + "\r\n",
                new byte[0])) {
            assertEquals(400, http.status);
        }
    }

    @Test
    void shouldLetNoOtherOriginRead() {
        given().header("Origin", "https://evil.example")
                .get("/v1/models")
                .then()
                .header("Access-Control-Allow-Origin", nullValue());
        given().header("Origin", "https://evil.example")
                .header("Access-Control-Request-Method", "POST")
                .options("/v1/completions")
                .then()
                .header("Access-Control-Allow-Origin", nullValue());
    }

    @Test
    void shouldNotEchoARequest() throws IOException {
        try (RawHttp http =
                RawHttp.send("TRACE /v1/models HTTP/1.1\r\nHost: test\r\nx-secret: key\r\n\r\n", new byte[0])) {
            assertNotEquals(200, http.status);
            assertFalse(http.body().contains("key"));
        }
    }

    @Test
    void shouldPutNoLineIntoAHeader() throws IOException {
        try (RawHttp http = RawHttp.get("/v1/models", "x-request-id: a\rSet-Cookie: b=c\r\n")) {
            assertFalse(http.headers.containsKey("Set-Cookie"));
        }
    }

    /** What went wrong inside is for the log. */
    @Test
    void shouldNotShowItsInsides() {
        List<String> bodies = List.of(
                "{",
                "[[[[",
                "{\"model\":{}}",
                "{\"model\":\"tokens\",\"prompt\":{\"a\":1}}",
                "{\"model\":\"tokens\",\"prompt\":[999999999]}",
                "{\"model\":\"tokens\",\"prompt\":[1e99]}",
                "{\"model\":\"broken\",\"prompt\":[1]}",
                "{\"model\":\"tokens\",\"prompt\":[1],\"logit_bias\":{\"x\":1}}",
                "{\"requests\":[{\"model\":\"tokens\"}]}",
                "\"\\ud800\"",
                "{\"model\":\"tokens\",\"prompt\":[1],\"stop\":[[]]}");
        for (String path :
                List.of("/v1/completions", "/v1/chat/completions", "/v1/streams", "/tokenize", "/detokenize")) {
            for (String body : bodies) {
                var response = given().contentType(ContentType.JSON).body(body).post(path);
                assertTrue(
                        response.statusCode() >= 400 && response.statusCode() < 500,
                        path + " " + body + " " + response.statusCode());
                assertFalse(
                        INSIDES.matcher(response.asString()).find(), path + " " + body + ": " + response.asString());
            }
        }
        for (String path : List.of("/q/dev", "/q/dev-ui", "/q/arc", "/q/openapi", "/q/info", "/h2", "/nothing")) {
            var response = RestAssured.get(path);
            assertEquals(404, response.statusCode(), path);
            assertFalse(INSIDES.matcher(response.asString()).find(), path);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "Host: a b\r\n", "Host: [::1\r\n"})
    void shouldRefuseAHeadWithoutAHostInOurShape(String host) throws IOException {
        for (String path : new String[] {"/v1/models", "/health", "/index.html", "/nothing"}) {
            try (RawHttp http = RawHttp.send("GET " + path + " HTTP/1.1\r\n" + host + "\r\n", new byte[0])) {
                assertEquals(400, http.status, path);
                String body = http.body();
                assertTrue(body.contains("\"code\":\"invalid_request\""), body);
                assertTrue(body.contains("'Host' header"), body);
            }
        }
    }
}
