package io.chorale.api;

import static io.restassured.RestAssured.given;
import static org.hamcrest.Matchers.equalTo;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.http.ContentType;
import io.restassured.response.Response;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Who may ask, how much, and what the refusal says. */
@QuarkusTest
@TestProfile(TenantsProfile.class)
class TenantsTest {
    /** Asks at once, however few cores there are. */
    private static final Executor ASKERS =
            command -> Thread.ofVirtual().name("asker").start(command);

    private static Response ask(String key, int tokens, String... headers) {
        var request = given().contentType(ContentType.JSON)
                .body("{\"model\":\"tokens\",\"prompt\":[1,2,3],\"max_tokens\":" + tokens + "}");
        if (!key.isEmpty()) {
            request.header("Authorization", "Bearer " + key);
        }
        for (int i = 0; i < headers.length; i += 2) {
            request.header(headers[i], headers[i + 1]);
        }
        return request.post("/v1/completions");
    }

    @Test
    void shouldTurnAwayWhoHasNoKey() {
        for (String key : List.of("", "wrong", "acme-1x")) {
            ask(key, 1)
                    .then()
                    .statusCode(401)
                    .header("WWW-Authenticate", "Bearer")
                    .body("error.code", equalTo("invalid_api_key"));
        }
        given().get("/v1/models").then().statusCode(401);
        for (String open : List.of("/health", "/health/", "/version", "/q/health/live", "/metrics")) {
            given().get(open).then().statusCode(200);
        }
        given().header("Authorization", "Bearer acme-2")
                .get("/v1/models")
                .then()
                .statusCode(200);
        ask("acme-1", 1).then().statusCode(200);
    }

    /** However a path is written: it is an endpoint's if one answers it. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "/v1/models",
                "/%761/models",
                "/v1/%6dodels",
                "//v1/models",
                "/v1//models",
                "/v1/models/",
                "/./v1/models",
                "/%2e/v1/models",
                "/x/../v1/models",
                "/health/../v1/models",
                "/v1/streams/../models",
                "/v1/streams/%2e%2e/models",
                "/v1/load",
                "/%761/load",
                "/v1/adapters",
                "//v1/adapters",
            })
    void shouldTurnAwayWhoHasNoKeyOnAnyPath(String path) throws IOException {
        try (RawHttp http = RawHttp.get(path, "")) {
            assertEquals(401, http.status);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"/%761/completions", "//v1/completions", "/./v1/completions", "/x/../v1/completions"})
    void shouldAnswerNobodyWithoutAKeyOnAnyPath(String path) throws IOException {
        try (RawHttp http = RawHttp.post(path, "{\"model\":\"tokens\",\"prompt\":[1,2,3],\"max_tokens\":1}")) {
            assertEquals(401, http.status);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"/tokeniz%65", "//tokenize", "/./detokenize"})
    void shouldTokeniseForNobodyWithoutAKey(String path) throws IOException {
        try (RawHttp http = RawHttp.post(path, "{\"prompt\":\"x\",\"tokens\":[1]}")) {
            assertEquals(401, http.status);
        }
    }

    @Test
    void shouldRefuseMoreRequestsAtOnceThanATenantMayHave() {
        assertEquals(2, served(4, "acme-1"));
        ask("acme-1", 1).then().statusCode(200);
    }

    @Test
    void shouldSayWhenAQuotaAllowsTheNextRequest() {
        ask("slow-1", 1).then().statusCode(200);
        Response refused = ask("slow-1", 1);
        refused.then()
                .statusCode(429)
                .body("error.type", equalTo("rate_limit_error"))
                .body("error.message", equalTo("Tenant 'slow' has used up what it may have in this time."));
        long millis = Long.parseLong(refused.header("retry-after-ms"));
        assertTrue(millis > 3_000 && millis <= 5_000, "the next one is due in five seconds: " + millis);
        assertEquals((millis + 999) / 1000, Long.parseLong(refused.header("Retry-After")));
        ask("acme-2", 1).then().statusCode(200);
    }

    @Test
    void shouldBelieveTheTenantThatATrustedCallerNames() {
        String header = "x-gateway-inference-fairness-id";
        assertEquals(1, served(4, "gateway-1", header, "customer"), "the customer may have one request at a time");
        assertEquals(4, served(4, "gateway-1", header, "another"), "nothing is said of the other");
        assertEquals(2, served(4, "acme-2", header, "customer"), "acme is not trusted: these are its own");
    }

    /** How many of so many requests at once are answered; all others are refused for their tenant's sake. */
    private static long served(int count, String key, String... headers) {
        List<CompletableFuture<Response>> asked = IntStream.range(0, count)
                .mapToObj(i -> CompletableFuture.supplyAsync(() -> ask(key, 60, headers), ASKERS))
                .toList();
        long served = 0;
        for (CompletableFuture<Response> one : asked) {
            Response answer = one.join();
            served += answer.statusCode() == 200 ? 1 : 0;
            if (answer.statusCode() != 200) {
                answer.then()
                        .statusCode(429)
                        .header("x-should-retry", "true")
                        .body("error.code", equalTo("rate_limit_exceeded"));
            }
        }
        return served;
    }

    @Test
    void shouldRefuseAnObjectiveThatCannotBeMetAndOneThatMakesNoSense() {
        Response lost = ask("gateway-1", 1, "x-slo-ttft-ms", "1");
        lost.then().statusCode(503).body("error.code", equalTo("slo_unreachable"));
        assertTrue(Long.parseLong(lost.header("retry-after-ms")) >= 1);
        ask("gateway-1", 1, "x-slo-ttft-ms", "60000").then().statusCode(200);
        for (String wrong : List.of("0", "-1", "soon", "1.5")) {
            ask("gateway-1", 1, "x-slo-ttft-ms", wrong)
                    .then()
                    .statusCode(400)
                    .body("error.param", equalTo("x-slo-ttft-ms"));
        }
    }

    @Test
    void shouldTakePriorities() {
        for (int priority : new int[] {-1, 0, 5}) {
            given().contentType(ContentType.JSON)
                    .header("Authorization", "Bearer gateway-1")
                    .body("{\"model\":\"tokens\",\"prompt\":[1],\"max_tokens\":1,\"priority\":" + priority + "}")
                    .post("/v1/completions")
                    .then()
                    .statusCode(200);
        }
    }
}
