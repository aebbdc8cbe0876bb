package io.chorale.api;

import static io.restassured.RestAssured.given;
import static org.hamcrest.Matchers.matchesPattern;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.http.ContentType;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import org.jboss.logmanager.Logger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Where the time of a request went: in a header of its answer, and in one line of the log. */
@QuarkusTest
@TestProfile(TokensProfile.class)
class ReportTest {
    private static final Logger LOG = Logger.getLogger("io.chorale.request");

    private final List<String> lines = new CopyOnWriteArrayList<>();
    private final Handler listener = new Handler() {
        @Override
        public void publish(LogRecord logged) {
            lines.add(logged.getMessage());
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
    };

    @BeforeEach
    void listen() {
        LOG.addHandler(listener);
    }

    @AfterEach
    void stopListening() {
        LOG.removeHandler(listener);
    }

    @Test
    void shouldTellWhatTheTimeWentInto() throws InterruptedException {
        String stages = "queue;dur=\\d+\\.\\d, adapter;dur=\\d+\\.\\d, prefill;dur=\\d+\\.\\d";
        ask("r-1", "'model':'tokens','prompt':[1,2],'max_tokens':3")
                .then()
                .statusCode(200)
                .header("Server-Timing", matchesPattern(stages + ", decode;dur=\\d+\\.\\d"));
        ask("r-2", "'model':'pirate','prompt':[1],'max_tokens':4,'n':2,'stream':true")
                .then()
                .statusCode(200)
                // On a busy machine all of it may be there when the status is sent.
                .header("Server-Timing", matchesPattern(stages + "(, decode;dur=\\d+\\.\\d)?"));
        ask("r-3", "'model':'ghost','prompt':[1]").then().statusCode(404);
        ask("r-4", "'model':'tokens','prompt':[1],'max_tokens':100000").then().statusCode(400);
        // Read, and then refused at the door: it takes 8 at once.
        ask("r-5", "'model':'pirate','prompt':[1],'max_tokens':2,'n':9,'stream':true")
                .then()
                .statusCode(400);
        awaitLines(5);
        String completions = " endpoint=/v1/completions model=";
        expect("id=r-1" + completions
                + "tokens stream=false status=200 outcome=length choices=1 prompt_tokens=2 answer_tokens=3 ");
        expect("id=r-2" + completions
                + "pirate stream=true status=200 outcome=length choices=2 prompt_tokens=1 answer_tokens=8 ");
        expect("id=r-3" + completions + " stream=false status=404 outcome=model_not_found choices=0 ");
        expect("id=r-4" + completions + " stream=false status=400 outcome=context_length_exceeded choices=0 ");
        expect("id=r-5" + completions + "pirate stream=true status=400 outcome=request_too_large choices=0 ");
        assertEquals(5, lines.size(), "one line a request: " + lines);
    }

    @Test
    void shouldTellOfEachRequestOfAStreamByTicket() throws InterruptedException {
        String requests = "{\"requests\":[{\"model\":\"tokens\",\"prompt\":[1,2],\"max_tokens\":3},"
                + "{\"model\":\"pirate\",\"prompt\":[1],\"max_tokens\":900}]}";
        String url = given().contentType(ContentType.JSON)
                .header("x-request-id", "s-1")
                .body(requests)
                .post("/v1/streams")
                .path("url");
        awaitLines(1);
        // Where this takes longer than the grace, it was cancelled already.
        given().delete(url);
        given().contentType(ContentType.JSON)
                .header("x-request-id", "s-2")
                .body(requests.replace("pirate", "ghost"))
                .post("/v1/streams")
                .then()
                .statusCode(404);
        awaitLines(3);
        String streams = " endpoint=/v1/streams model=";
        expect("id=s-1" + streams
                + "tokens stream=true status=200 outcome=length choices=1 prompt_tokens=2 answer_tokens=3 ");
        expect("id=s-1" + streams + "pirate stream=true status=200 outcome=cancelled choices=1 prompt_tokens=1 ");
        expect("id=s-2" + streams + " stream=false status=404 outcome=model_not_found choices=0 ");
        assertEquals(3, lines.size(), "one line a request: " + lines);
    }

    private void expect(String beginning) {
        assertTrue(lines.stream().anyMatch(line -> line.startsWith(beginning)), beginning + " in " + lines);
    }

    private void awaitLines(int count) throws InterruptedException {
        for (int i = 0; i < 100 && lines.size() < count; i++) {
            Thread.sleep(20);
        }
    }

    private static io.restassured.response.Response ask(String id, String fields) {
        return given().contentType(ContentType.JSON)
                .header("x-request-id", id)
                .body("{" + fields.replace('\'', '"') + "}")
                .post("/v1/completions");
    }
}
