package io.chorale.api;

import static io.restassured.RestAssured.given;
import static org.hamcrest.Matchers.containsString;
import static org.hamcrest.Matchers.equalTo;
import static org.hamcrest.Matchers.greaterThan;
import static org.hamcrest.Matchers.lessThan;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.http.ContentType;
import io.restassured.response.ValidatableResponse;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@code POST /v1/plan}: what-if questions. */
@QuarkusTest
@TestProfile(TokensProfile.class)
class PlanTest {
    private static ValidatableResponse ask(String body) {
        return given().contentType(ContentType.JSON)
                .body(body.replace('\'', '"'))
                .post("/v1/plan")
                .then();
    }

    @Test
    void shouldSayThatThereIsRoom() {
        ask("{'rate': 2, 'adapters': 20, 'add_adapters': 20, 'seconds': 20}")
                .statusCode(200)
                .body("fits", equalTo(true))
                .body("today.requests", equalTo(40))
                .body("tomorrow.requests", equalTo(80))
                .body("tomorrow.attainment", greaterThan(0.99f))
                .body("tomorrow.ttft_p99_seconds", lessThan(6f))
                .body("why", containsString("attainment is"));
    }

    /** A question and its answer, as docs/API.md shows them. */
    @Test
    void shouldAnswerAsIsDocumented() throws IOException {
        Matcher example = Pattern.compile("POST /v1/plan +(\\{.*})\n.*\\{\"fits\": (\\w+), \"why\": \"([^\"]+)\"")
                .matcher(Files.readString(Path.of("docs/API.md")));
        assertTrue(example.find());
        ask(example.group(1))
                .statusCode(200)
                .body("fits", equalTo(Boolean.valueOf(example.group(2))))
                .body("why", equalTo(example.group(3)));
    }

    @Test
    void shouldSayThatThereIsNone() {
        ask("{'rate': 10, 'adapters': 100, 'add_adapters': 900, 'seconds': 20, 'ttft_ms': 500}")
                .statusCode(200)
                .body("fits", equalTo(false))
                .body("tomorrow.requests", equalTo(2000))
                .body("tomorrow.attainment", lessThan(0.9f));
    }

    private static String costs(long baseNanos, String more) {
        return "{'baseNanos': " + baseNanos + ", 'rowNanos': 15000, 'contextTokenNanos': 2.5, 'adapterNanos': 20000,"
                + "'adapterPageNanos': 0, 'adapterRowNanos': 800, 'loadPageNanos': 80000, 'mergeNanos': 9000000" + more
                + "}";
    }

    @Test
    void shouldTakeCostsOfOnesOwn() {
        String question = "{'rate': 4, 'adapters': 20, 'seconds': 20, 'ttft_ms': 2000, 'costs': %s}";
        ask(question.formatted(costs(6_000_000, "")))
                .statusCode(200)
                .body("fits", equalTo(true))
                .body("today.itl_p50_seconds", greaterThan(0.006f))
                .body("today.itl_p50_seconds", lessThan(0.02f));
        ask(question.formatted(costs(800_000_000, "")))
                .statusCode(200)
                .body("fits", equalTo(false))
                .body("today.itl_p50_seconds", greaterThan(0.7f));
    }

    @Test
    void shouldAnswerForThisServer() {
        ask("{'rate': 1, 'adapters': 1, 'seconds': 10, 'device': 'server',"
                        + "'prompt_tokens': [8, 16], 'answer_tokens': [8, 16]}")
                .statusCode(200)
                .body("today.requests", equalTo(10))
                .body("today.itl_p50_seconds", greaterThan(0f));
    }

    @Test
    void shouldRefuseCostsThatCannotBe() {
        ask("{'rate': 1, 'costs': " + costs(-1, "") + "}")
                .statusCode(400)
                .body("error.param", equalTo("costs"))
                .body(
                        "error.message",
                        containsString("'baseNanos' must be a number of nanoseconds between 0 and 1e12, not -1"));
        ask("{'rate': 1, 'costs': " + costs(1, ", 'colour': 3") + "}")
                .statusCode(400)
                .body("error.message", containsString("no figure 'colour'; it has baseNanos, rowNanos"));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '~',
            value = {
                "{}|rate|missing_parameter|'rate' is missing",
                "{'rate': 0}|rate|invalid_value|'rate' must be between",
                "{'rate': 'much'}|rate|invalid_type|'rate' must be a number",
                "{'rate': 1, 'prompt_tokens': [9]}|prompt_tokens|invalid_value|two numbers",
                "{'rate': 1, 'dispatcher': 'x'}|dispatcher|invalid_value|round-robin, least-load",
                "{'rate': 1, 'device': 'x'}|device|invalid_value|Device 'x' is not known; it can be h100-8b",
                "{'rate': 1, 'device': 'x'}|device|invalid_value|, server",
                "{'rate': 1, 'costs': 'mine'}|costs|invalid_type|'costs' must be an object",
                "{'rate': 1, 'costs': {}}|costs|invalid_value|'costs': 'baseNanos' is missing",
                "{'rate': 1, 'policy': 'x'}|policy|invalid_value|Policy 'x' is not known",
                "{'rate': 1, 'policy': 'chorale,merging=x'}|policy|invalid_value|'x' is not known; it can be",
                "{'rate': 1, 'adapter': 500}|adapter|invalid_value|'adapter' is not known here; known are adapters, add_adapters, add_rate",
                "{'rate': 1000, 'seconds': 3000}||invalid_value|at most 50000 are allowed",
            })
    void shouldRefuseByName(String body, String param, String code, String message) {
        ask(body)
                .statusCode(400)
                .body("error.param", equalTo(param))
                .body("error.code", equalTo(code))
                .body("error.message", containsString(message));
    }
}
