package io.chorale.api;

import static io.restassured.RestAssured.given;
import static org.hamcrest.Matchers.equalTo;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.engine.sim.SimulatedModel;
import io.quarkus.arc.Arc;
import io.quarkus.test.junit.DisabledOnIntegrationTest;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.RestAssured;
import io.restassured.http.ContentType;
import io.restassured.response.Response;
import java.io.IOException;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** Completions of token ids: the bytes of the stream, and what happens when clients leave, sleep or are too many. */
@QuarkusTest
@TestProfile(TokensProfile.class)
class TokenStreamTest {
    private static final int VOCAB = 2048;
    private static final Pattern ID = Pattern.compile("\"id\":\"cmpl-[0-9a-f]{32}\",");
    private static final Pattern CREATED = Pattern.compile("\"created\":\\d{10,},");

    @Test
    void shouldSendExactlyTheseBytes() throws IOException {
        String json = """
                {"model":"tokens","prompt":[5,6,7],"max_tokens":2,"seed":42,"stream":true,\
                "stream_options":{"include_usage":true}}""";
        int[] drawn = drawn(new int[] {5, 6, 7}, 42, 2);
        String head = "data: {<id>\"object\":\"text_completion\",<created>\"model\":\"tokens\",\"choices\":[";
        String wanted =
                head + "{\"index\":0,\"text\":\"\",\"logprobs\":null,\"prompt_token_ids\":[5,6,7],\"token_ids\":["
                        + drawn[0] + "],\"finish_reason\":null}]}\n\n"
                        + head + "{\"index\":0,\"text\":\"\",\"logprobs\":null,\"token_ids\":[" + drawn[1]
                        + "],\"finish_reason\":null}]}\n\n"
                        + head
                        + "{\"index\":0,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"length\",\"stop_reason\":null}]}\n\n"
                        + head + "],\"usage\":{\"prompt_tokens\":3,\"total_tokens\":5,\"completion_tokens\":2}}\n\n"
                        + "data: [DONE]\n\n";
        try (RawHttp http = RawHttp.post("/v1/completions", json)) {
            assertEquals(200, http.status);
            assertEquals("text/event-stream;charset=UTF-8", http.headers.get("Content-Type"));
            assertEquals("no-cache", http.headers.get("Cache-Control"));
            assertEquals("no", http.headers.get("X-Accel-Buffering"));
            assertFalse(String.valueOf(http.headers.get("x-request-id")).isEmpty());
            String body = http.body();
            assertEquals(
                    1, ID.matcher(body).results().map(r -> r.group()).distinct().count(), "one id for all chunks");
            body = ID.matcher(body).replaceAll("<id>");
            assertEquals(wanted, CREATED.matcher(body).replaceAll("<created>"));
            assertTrue(http.endedWell);
        }
    }

    @Test
    @DisabledOnIntegrationTest("looks into the server")
    void shouldBeAnOpenExchangeUntilItsEnd() throws Exception {
        OpenExchanges exchanges = Arc.container().instance(OpenExchanges.class).get();
        assertTrue(exchanges.awaitEnd(Duration.ofSeconds(5)), "nobody is there");
        String json = "{\"model\":\"tokens\",\"prompt\":[5],\"max_tokens\":1000,\"stream\":true}";
        try (RawHttp left = RawHttp.post("/v1/completions", json)) {
            assertEquals(200, left.status);
            assertFalse(exchanges.awaitEnd(Duration.ZERO), "an answer is on its way");
        }
        assertTrue(exchanges.awaitEnd(Duration.ofSeconds(5)), "its client has left");
        try (RawHttp read = RawHttp.post("/v1/completions", json)) {
            read.body();
            assertTrue(exchanges.awaitEnd(Duration.ofSeconds(5)), "it was read to its end");
        }
    }

    @Test
    void shouldGiveTheSameIdsWhole() {
        int[] drawn = drawn(new int[] {9, 9}, 7, 12);
        ask("{'model':'tokens','prompt':[9,9],'max_tokens':12,'seed':7}")
                .then()
                .statusCode(200)
                .body("object", equalTo("text_completion"))
                .body("model", equalTo("tokens"))
                .body(
                        "choices[0].token_ids",
                        equalTo(Arrays.stream(drawn).boxed().toList()))
                .body("choices[0].prompt_token_ids", equalTo(List.of(9, 9)))
                .body("choices[0].finish_reason", equalTo("length"))
                .body("usage.prompt_tokens", equalTo(2))
                .body("usage.completion_tokens", equalTo(12))
                .body("usage.total_tokens", equalTo(14));
    }

    @Test
    void shouldAnswerSeveralPromptsSeveralTimes() {
        Response response = ask("{'model':'tokens','prompt':[[1,2],[3]],'n':2,'max_tokens':4,'seed':1}");
        response.then().statusCode(200).body("choices.index", equalTo(List.of(0, 1, 2, 3)));
        List<List<Integer>> ids = response.jsonPath().getList("choices.token_ids");
        assertEquals(Arrays.stream(drawn(new int[] {1, 2}, 1, 4)).boxed().toList(), ids.get(0));
        assertEquals(Arrays.stream(drawn(new int[] {3}, 1, 4)).boxed().toList(), ids.get(2));
        assertEquals(4, ids.stream().distinct().count(), "every answer has draws of its own");
        assertEquals(3, response.jsonPath().getInt("usage.prompt_tokens"));
        assertEquals(16, response.jsonPath().getInt("usage.completion_tokens"));
    }

    @Test
    void shouldStopAtANamedTokenAndSayWhich() {
        int[] drawn = drawn(new int[] {4}, 3, 10);
        ask("{'model':'tokens','prompt':[4],'max_tokens':10,'seed':3,'stop_token_ids':[" + drawn[5] + "]}")
                .then()
                .statusCode(200)
                .body("choices[0].finish_reason", equalTo("stop"))
                .body("choices[0].stop_reason", equalTo(drawn[5]))
                .body(
                        "choices[0].token_ids",
                        equalTo(Arrays.stream(drawn).limit(6).boxed().toList()));
    }

    @Test
    void shouldServeAnAdapterByItsName() {
        ask("{'model':'pirate','prompt':[4],'max_tokens':3}")
                .then()
                .statusCode(200)
                .body("model", equalTo("pirate"));
        ask("{'model':'tokens:pirate','prompt':[4],'max_tokens':3}")
                .then()
                .statusCode(200)
                .body("model", equalTo("tokens:pirate"));
    }

    @Test
    void shouldFreeThePagesOfAClientThatGoesAway() throws Exception {
        Load.awaitIdle();
        int total = RestAssured.get("/v1/load").jsonPath().getInt("pages.total");
        String json = "{\"model\":\"tokens\",\"prompt\":[1],\"max_tokens\":1000,\"stream\":true,\"n\":4}";
        try (RawHttp http = RawHttp.post("/v1/completions", json)) {
            assertTrue(http.event().startsWith("data: "));
            Load.await(load -> load.getInt("requests.running") == 4);
        }
        Load.awaitIdle();
        int free = RestAssured.get("/v1/load").jsonPath().getInt("pages.free");
        int adapters = RestAssured.get("/v1/load").jsonPath().getInt("pages.adapter");
        int cached = RestAssured.get("/v1/load").jsonPath().getInt("pages.cached");
        assertEquals(total, free + cached + adapters);
        assertTrue(
                RestAssured.get("/v1/load").jsonPath().getInt("answer_tokens") > 0, "it had begun before it was left");
    }

    @Test
    void shouldCancelAnAnswerThatNobodyWaitsFor() throws Exception {
        Load.awaitIdle();
        String json = "{\"model\":\"tokens\",\"prompt\":[1],\"max_tokens\":1000}";
        byte[] body = json.getBytes(StandardCharsets.UTF_8);
        try (Socket socket = new Socket("localhost", RestAssured.port)) {
            socket.getOutputStream()
                    .write(("POST /v1/completions HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
                                    + "Content-Length: " + body.length + "\r\n\r\n" + json)
                            .getBytes(StandardCharsets.UTF_8));
            Load.await(load -> load.getInt("requests.running") == 1);
        }
        Load.awaitIdle();
        assertTrue(outcome("cancelled") > 0);
    }

    @Test
    void shouldDropAClientThatDoesNotRead() throws Exception {
        Load.awaitIdle();
        double before = outcome("slow_consumer");
        // 8 answers of 1,000 tokens with 20 rivals each: more than sockets hold.
        String json =
                "{\"model\":\"tokens\",\"prompt\":[1],\"max_tokens\":1000,\"stream\":true,\"n\":8,\"logprobs\":20}";
        try (RawHttp http = RawHttp.post("/v1/completions", json, 4096)) {
            assertEquals(200, http.status);
            long until = System.currentTimeMillis() + 30_000;
            while (outcome("slow_consumer") < before + 1 && System.currentTimeMillis() < until) {
                Thread.sleep(50);
            }
            assertTrue(outcome("slow_consumer") > before, "somebody must have been dropped");
            Load.awaitIdle();
            http.body();
            assertFalse(http.endedWell, "a truncated answer must not look whole");
        }
    }

    @Test
    void shouldTurnAwayWhatItCannotHold() throws Exception {
        Load.awaitIdle();
        List<RawHttp> held = new ArrayList<>();
        try {
            for (int i = 0; i < TokensProfile.REQUESTS_MAX; i++) {
                held.add(RawHttp.post(
                        "/v1/completions",
                        "{\"model\":\"tokens\",\"prompt\":[1],\"max_tokens\":1000,\"stream\":true}"));
            }
            Response refused = ask("{'model':'tokens','prompt':[1],'max_tokens':5}");
            refused.then()
                    .statusCode(503)
                    .body("error.code", equalTo("server_overloaded"))
                    .body("error.type", equalTo("server_error"))
                    .header("x-should-retry", "true");
            assertTrue(Long.parseLong(refused.header("retry-after-ms")) > 0);
            assertTrue(Long.parseLong(refused.header("Retry-After")) > 0);
        } finally {
            for (RawHttp http : held) {
                http.close();
            }
        }
        Load.awaitIdle();
        ask("{'model':'tokens','prompt':[1],'max_tokens':5}").then().statusCode(200);
    }

    /** Answers that ended so. */
    static double outcome(String outcome) {
        String prefix = "chorale_requests_total{outcome=\"" + outcome + "\"} ";
        return RestAssured.get("/q/metrics")
                .asString()
                .lines()
                .filter(line -> line.startsWith(prefix))
                .mapToDouble(line -> Double.parseDouble(line.substring(prefix.length())))
                .sum();
    }

    private static Response ask(String json) {
        return given().contentType(ContentType.JSON)
                .body(json.replace('\'', '"'))
                .post("/v1/completions");
    }

    /** What the simulated model draws. */
    static int[] drawn(int[] prompt, long seed, int count) {
        SimulatedModel model = new SimulatedModel(0, VOCAB, 2, 0);
        long state = SimulatedModel.begin();
        for (int token : prompt) {
            state = SimulatedModel.next(state, token, 0);
        }
        int[] drawn = new int[count];
        for (int i = 0; i < count; i++) {
            drawn[i] = model.draw(state, seed, prompt.length - 1 + i, new int[0], new float[0], 0, 0);
            state = SimulatedModel.next(state, drawn[i], 0);
        }
        return drawn;
    }
}
