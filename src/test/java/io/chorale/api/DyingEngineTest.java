package io.chorale.api;

import static io.restassured.RestAssured.given;
import static org.hamcrest.Matchers.equalTo;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quarkus.arc.Arc;
import io.quarkus.test.junit.DisabledOnIntegrationTest;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.RestAssured;
import io.restassured.http.ContentType;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestMethodOrder;

/** What clients and probes see when the engine dies in the middle of an answer. */
@QuarkusTest
@TestProfile(DyingProfile.class)
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
class DyingEngineTest {
    private static final String BODY = "{\"model\":\"tokens\",\"prompt\":[1,2,3],\"max_tokens\":500,\"stream\":%s}";

    @Test
    @Order(1)
    void shouldBeAliveAndReadyBefore() {
        for (String path : List.of("/health", "/q/health/live", "/q/health/ready", "/q/health/started")) {
            RestAssured.get(path).then().statusCode(200);
        }
    }

    /** Nobody can take the half answer for a whole one: an error event, no [DONE], and a body that is broken off. */
    @Test
    @Order(2)
    void shouldBreakTheAnswerOffAfterAnErrorEvent() throws IOException {
        List<String> events = new ArrayList<>();
        try (RawHttp http = RawHttp.post("/v1/completions", BODY.formatted("true"))) {
            assertEquals(200, http.status);
            for (String event = http.event(); !event.isEmpty(); event = http.event()) {
                events.add(event);
            }
            assertFalse(http.endedWell);
        }
        assertTrue(events.getFirst().startsWith("data: {\"id\":\"cmpl-"));
        assertTrue(events.contains(": ping\n\n"), "a step takes longer than the time between comments: " + events);
        assertEquals(
                "event: error\ndata: {\"error\":{\"message\":\"The engine is dead: the simulated engine has died.\","
                        + "\"type\":\"server_error\",\"param\":null,\"code\":\"engine_dead\"}}\n\n",
                events.getLast());
        assertFalse(events.contains("data: [DONE]\n\n"));
    }

    /** Or a server that stops would wait for it in vain. */
    @Test
    @Order(3)
    @DisabledOnIntegrationTest("looks into the server")
    void shouldCountTheAnswerThatWasBrokenOffAsEnded() throws InterruptedException {
        OpenExchanges exchanges = Arc.container().instance(OpenExchanges.class).get();
        assertTrue(exchanges.awaitEnd(Duration.ofSeconds(5)));
    }

    @Test
    @Order(3)
    void shouldRefuseFromThenOn() {
        given().contentType(ContentType.JSON)
                .body(BODY.formatted("false"))
                .post("/v1/completions")
                .then()
                .statusCode(503)
                .body("error.code", equalTo("engine_dead"))
                .header("x-should-retry", "true");
    }

    @Test
    @Order(4)
    void shouldNotBeAlive() {
        for (String path : List.of("/health", "/q/health/live", "/q/health/ready")) {
            RestAssured.get(path).then().statusCode(503);
        }
        RestAssured.get("/q/health/live")
                .then()
                .body("checks[0].name", equalTo("serving-thread"))
                .body("checks[0].data.state", equalTo("DEAD"))
                .body("checks[0].data.detail", equalTo("the simulated engine has died"));
        RestAssured.get("/v1/load").then().body("state", equalTo("DEAD"));
    }
}
