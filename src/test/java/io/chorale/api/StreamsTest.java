package io.chorale.api;

import static io.restassured.RestAssured.given;
import static org.hamcrest.Matchers.containsString;
import static org.hamcrest.Matchers.equalTo;
import static org.hamcrest.Matchers.greaterThan;
import static org.hamcrest.Matchers.startsWith;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.RestAssured;
import io.restassured.http.ContentType;
import io.restassured.response.Response;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Streams by ticket: many answers over one connection, which may break and be taken up again. */
@QuarkusTest
@TestProfile(TokensProfile.class)
class StreamsTest {
    /** An event of the stream: id, name (empty: message), data. */
    private record Event(long id, String name, String data) {
        static Event of(String frame) {
            long id = 0;
            String name = "";
            String data = "";
            for (String line : frame.strip().split("\n")) {
                id = line.startsWith("id: ") ? Long.parseLong(line.substring(4)) : id;
                name = line.startsWith("event: ") ? line.substring(7) : name;
                data = line.startsWith("data: ") ? line.substring(6) : data;
            }
            return new Event(id, name, data);
        }

        JsonNode json() {
            try {
                return JSON.readTree(data);
            } catch (JsonProcessingException none) {
                throw new AssertionError(data, none);
            }
        }
    }

    private static final ObjectMapper JSON = new ObjectMapper();

    private final List<String> urls = new ArrayList<>();

    @AfterEach
    void forgetStreams() {
        urls.forEach(RestAssured::delete);
    }

    @BeforeEach
    void waitUntilIdle() throws InterruptedException {
        Load.awaitIdle();
    }

    @Test
    void shouldForgetAStreamWhoseListenersLeaveAtTheDoor() throws Exception {
        String path = open("{'model':'tokens','prompt':[1],'max_tokens':500,'ignore_eos':true}");
        for (int i = 0; i < 50; i++) {
            try (Socket socket = new Socket()) {
                socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), RestAssured.port));
                socket.setSoLinger(true, 0);
                socket.getOutputStream()
                        .write(("GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n").getBytes(StandardCharsets.US_ASCII));
            }
        }
        // Some of the connections came through to the stream and left; after the grace it must be gone by itself.
        Load.awaitIdle();
        Thread.sleep(3000);
        int status = given().delete(path).statusCode();
        assertEquals(404, status);
    }

    @Test
    void shouldCarryManyAnswersOverOneConnection() throws IOException {
        String url = open("{'requests':[{'model':'tokens','prompt':[1,2],'max_tokens':9,'seed':5},"
                + "{'model':'pirate','prompt':[3],'max_tokens':4,'seed':6}]}");
        List<Event> events;
        try (RawHttp http = RawHttp.get(url, "")) {
            assertEquals(200, http.status);
            assertEquals("text/event-stream;charset=UTF-8", http.headers.get("Content-Type"));
            assertEquals("retry: 1000\n\n", http.event());
            events = events(http);
            assertTrue(http.endedWell);
        }
        try (RawHttp http = RawHttp.get(url, "Last-Event-ID: 1000\r\n")) {
            assertEquals(410, http.status);
        }
        for (int i = 0; i < events.size(); i++) {
            assertEquals(i + 1, events.get(i).id());
        }
        assertEquals("end", events.getLast().name());
        assertEquals(
                Arrays.stream(TokenStreamTest.drawn(new int[] {1, 2}, 5, 9))
                        .boxed()
                        .toList(),
                ids(events, 0));
        assertEquals(4, ids(events, 1).size());
        assertEquals("pirate", chunks(events, 1).getFirst().at("/chunk/model").asText());
        assertEquals(
                "length",
                chunks(events, 1).getLast().at("/chunk/choices/0/finish_reason").asText());
    }

    @Test
    void shouldGoOnAfterABreakWhereTheClientWas() throws IOException {
        String answer = "{'model':'tokens','prompt':[1,2],'max_tokens':600,'seed':5}";
        String url = open("{'requests':[" + String.join(",", Collections.nCopies(2, answer)) + "]}");
        List<Event> events = new ArrayList<>();
        int breaks = 0;
        while (events.isEmpty() || !events.getLast().name().equals("end")) {
            String from =
                    events.isEmpty() ? "" : "Last-Event-ID: " + events.getLast().id() + "\r\n";
            try (RawHttp http = RawHttp.get(url, from)) {
                assertEquals(200, http.status);
                http.event();
                for (int i = 0; i < 100; i++) {
                    String frame = http.event();
                    if (frame.isEmpty()) {
                        break;
                    }
                    events.add(Event.of(frame));
                }
            }
            breaks++;
        }
        assertTrue(breaks >= 3);
        assertTrue(events.size() > TokensProfile.REPLAY_EVENTS_MAX + 3);
        try (RawHttp http =
                RawHttp.get(url, "Last-Event-ID: " + events.getLast().id() + "\r\n")) {
            assertEquals(204, http.status);
        }
        try (RawHttp http = RawHttp.get(url, "Last-Event-ID: 3\r\n")) {
            assertEquals(410, http.status);
            assertTrue(http.body().contains("stream_gap"));
        }
        assertEquals(
                Arrays.stream(TokenStreamTest.drawn(new int[] {1, 2}, 5, 600))
                        .boxed()
                        .toList(),
                ids(events, 1));
    }

    @Test
    void shouldCutOffTheFirstListenerWhenASecondComes() throws IOException {
        String url = open("{'model':'tokens','prompt':[1,2],'max_tokens':500}");
        try (RawHttp first = RawHttp.get(url, "")) {
            Event seen = Event.of(first.event() + first.event());
            try (RawHttp second = RawHttp.get(url, "Last-Event-ID: " + seen.id() + "\r\n")) {
                second.event();
                assertEquals(seen.id() + 1, Event.of(second.event()).id());
                first.body();
                assertFalse(first.endedWell);
            }
        }
    }

    @Test
    void shouldCutOffNobodyForALook() throws IOException {
        String url = open("{'model':'tokens','prompt':[1,2],'max_tokens':100}");
        try (RawHttp listener = RawHttp.get(url, "")) {
            listener.event();
            assertEquals(1, Event.of(listener.event()).id());
            RestAssured.head(url).then().statusCode(200).header("Content-Type", startsWith("text/event-stream"));
            List<Event> events = events(listener);
            assertTrue(listener.endedWell);
            assertEquals("end", events.getLast().name());
        }
        RestAssured.head("/v1/streams/nothing").then().statusCode(404);
    }

    @Test
    void shouldCancelWhatNobodyWantsAnyMore() throws Exception {
        String url = open("{'model':'tokens','prompt':[1,2],'max_tokens':1000}");
        // Who listens sees that it was under way and did not come to its end.
        try (RawHttp http = RawHttp.get(url, "")) {
            http.event();
            assertEquals(1, Event.of(http.event()).id());
            RestAssured.delete(url).then().statusCode(204);
            http.body();
            assertFalse(http.endedWell);
        }
        Load.awaitIdle();
        RestAssured.get(url).then().statusCode(404).body("error.code", equalTo("stream_not_found"));
        RestAssured.delete(url).then().statusCode(404);
    }

    @Test
    void shouldForgetAStreamThatNobodyFetches() throws Exception {
        String url = open("{'model':'tokens','prompt':[1,2],'max_tokens':3}");
        // The grace period is a second, and asking would begin it anew.
        Thread.sleep(3_000);
        RestAssured.get(url).then().statusCode(404);
    }

    @Test
    void shouldBoundTheNumberOfStreams() {
        for (int i = 0; i < 4; i++) {
            open("{'model':'tokens','prompt':[1],'max_tokens':1}");
        }
        post("{'model':'tokens','prompt':[1],'max_tokens':1}")
                .then()
                .statusCode(503)
                .body("error.code", equalTo("too_many_streams"))
                .header("Retry-After", equalTo("1"));
    }

    @Test
    void shouldRefuseBeforeThereIsAStream() {
        post("{'requests':[]}").then().statusCode(400).body("error.param", equalTo("requests"));
        post("{'requests':[7]}").then().statusCode(400).body("error.param", equalTo("requests[0]"));
        post("{'requests':[{'model':'tokens','prompt':[1]},{'model':'tokens','prompt':[1],'temperature':-1}]}")
                .then()
                .statusCode(400)
                .body("error.param", equalTo("requests[1].temperature"));
        post("{'requests':[{'model':'tokens','prompt':[1],'messages':[{'role':'user','content':'x'}]}]}")
                .then()
                .statusCode(400)
                .body("error.param", equalTo("requests[0].prompt"));
        post("{'requests':[{'model':'tokens','prompt':[1]},{'model':'ghost','prompt':[1]}]}")
                .then()
                .statusCode(404)
                .body("error.code", equalTo("model_not_found"))
                .body("error.param", equalTo("requests[1].model"));
        for (String field :
                new String[] {"stop:['']", "lora:[{}]", "n:1,best_of:2", "logit_bias:{x:1}", "min_tokens:2000"}) {
            String quoted = field.replaceAll("([a-z_]+):", "'$1':");
            post("{'requests':[{'model':'tokens','prompt':[1]," + quoted + "}]}")
                    .then()
                    .statusCode(400)
                    .body("error.param", startsWith("requests[0]."));
        }
        // One too many for the places: none of them is let in.
        StringBuilder nine = new StringBuilder("{'requests':[");
        for (int i = 0; i < TokensProfile.REQUESTS_MAX + 1; i++) {
            nine.append(i == 0 ? "" : ",").append("{'model':'tokens','prompt':[1],'max_tokens':1000}");
        }
        post(nine + "]}")
                .then()
                .statusCode(400)
                .body(
                        "error.message",
                        equalTo(
                                "The requests ask for 9 answers, but the server takes at most 8 at once, even when it is idle."));
    }

    @Test
    void shouldTellWhereToFetch() {
        Response response = post("{'model':'tokens','prompt':[1],'max_tokens':1}");
        String id = response.jsonPath().getString("id");
        response.then()
                .statusCode(201)
                .header("Location", containsString("/v1/streams/" + id))
                .body("url", equalTo("/v1/streams/" + id))
                .body("expires", greaterThan((int) (System.currentTimeMillis() / 1000) - 1));
        RestAssured.delete("/v1/streams/" + id);
        for (String foreign : new String[] {"x", "-1", "18446744073709551615"}) {
            given().header("Last-Event-ID", foreign)
                    .get("/v1/streams/nothing")
                    .then()
                    .statusCode(400)
                    .body("error.message", startsWith("'Last-Event-ID' must be"));
        }
    }

    private String open(String json) {
        Response response = post(json);
        response.then().statusCode(201);
        urls.add(response.jsonPath().getString("url"));
        return urls.getLast();
    }

    private static Response post(String json) {
        return given().contentType(ContentType.JSON)
                .body(json.replace('\'', '"'))
                .post("/v1/streams");
    }

    private static List<Event> events(RawHttp http) throws IOException {
        List<Event> events = new ArrayList<>();
        for (String frame = http.event(); !frame.isEmpty(); frame = http.event()) {
            events.add(Event.of(frame));
        }
        return events;
    }

    private static List<JsonNode> chunks(List<Event> events, int request) {
        return events.stream()
                .filter(event -> event.name().isEmpty())
                .map(Event::json)
                .filter(json -> json.get("request").intValue() == request)
                .toList();
    }

    private static List<Integer> ids(List<Event> events, int request) {
        List<Integer> ids = new ArrayList<>();
        for (JsonNode json : chunks(events, request)) {
            json.at("/chunk/choices/0/token_ids").forEach(id -> ids.add(id.intValue()));
        }
        return ids;
    }
}
