package io.chorale.api;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.RestAssured;
import io.restassured.http.ContentType;
import java.io.IOException;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** Clients that keep their connection and read nothing, of answers that are more than sockets hold. */
@QuarkusTest
@TestProfile(StallProfile.class)
class StalledClientTest {
    private static final int CHOICES = 8;
    private static final int TOKENS = 1000;
    private static final String LONG_ANSWERS = "\"model\":\"tokens\",\"prompt\":[1],\"max_tokens\":" + TOKENS
            + ",\"ignore_eos\":true,\"stream\":true,\"n\":" + CHOICES + ",\"logprobs\":20";
    private static final int RECEIVE_BYTES = 4096;
    private static final Pattern ID = Pattern.compile("^id: (\\d+)$", Pattern.MULTILINE);

    @Test
    void shouldBreakOffWhatNobodyReads() throws Exception {
        Load.awaitIdle();
        double dropped = TokenStreamTest.outcome("slow_consumer");
        int tokens = tokens();
        try (RawHttp http = RawHttp.post("/v1/completions", "{" + LONG_ANSWERS + "}", RECEIVE_BYTES)) {
            assertEquals(200, http.status);
            Load.await(load -> load.getInt("requests.running") == CHOICES);
            // Free before anything is read.
            Load.awaitIdle();
            assertEquals(dropped + CHOICES, TokenStreamTest.outcome("slow_consumer"));
            assertTrue(tokens() - tokens < CHOICES * TOKENS, "the engine went on for nobody");
            http.body();
            assertFalse(http.endedWell, "a truncated answer must not look whole");
        }
    }

    @Test
    void shouldTakeAListenerThatDoesNotReadForGoneAndLetItComeBack() throws Exception {
        Load.awaitIdle();
        String url = RestAssured.given()
                .contentType(ContentType.JSON)
                .body("{" + LONG_ANSWERS + "}")
                .post("/v1/streams")
                .then()
                .statusCode(201)
                .extract()
                .path("url");
        String last;
        try (RawHttp http = RawHttp.get(url, "", RECEIVE_BYTES)) {
            Load.awaitIdle();
            Thread.sleep(2000L * StallProfile.STALL_SECONDS);
            last = lastId(http);
            assertFalse(http.endedWell, "nobody read for so long");
        }
        try (RawHttp http = RawHttp.get(url, "Last-Event-ID: " + last + "\r\n")) {
            String rest = http.body();
            assertTrue(http.endedWell);
            assertTrue(rest.contains("event: end"), "the rest of the answers came");
        }
    }

    private static String lastId(RawHttp http) throws IOException {
        String body = http.body();
        // The last event may be cut.
        String whole = body.substring(0, body.lastIndexOf("\n\n"));
        return ID.matcher(whole)
                .results()
                .reduce((earlier, later) -> later)
                .map((MatchResult id) -> id.group(1))
                .orElseThrow();
    }

    private static int tokens() {
        return RestAssured.get("/v1/load").jsonPath().getInt("answer_tokens");
    }
}
