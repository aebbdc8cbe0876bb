package io.chorale.api;

import static io.chorale.api.BearerCalls.ask;
import static io.chorale.api.BearerCalls.with;
import static io.restassured.RestAssured.given;
import static org.hamcrest.Matchers.contains;
import static org.hamcrest.Matchers.containsString;
import static org.hamcrest.Matchers.equalTo;
import static org.hamcrest.Matchers.not;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.http.ContentType;
import java.io.IOException;
import java.nio.file.Files;
import java.time.Duration;
import java.util.List;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What a key lets its holder do and see, what of that may change while the server runs, and what is written down of it. */
@QuarkusTest
@TestProfile(AccessProfile.class)
class AccessTest {
    private static final Duration PATIENCE = Duration.ofSeconds(20);

    private static void await(String what, BooleanSupplier condition) throws InterruptedException {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (!condition.getAsBoolean()) {
            assertTrue(System.nanoTime() < deadline, what);
            Thread.sleep(20);
        }
    }

    private static void change(String more) throws IOException {
        AccessProfile.write(AccessProfile.KEYS + more);
    }

    @AfterEach
    void restore() throws IOException, InterruptedException {
        change("chorale.keys.restored.key=restored-key");
        await(
                "the file is as it was",
                () -> ask("restored-key", "tokens") == 200 && ask("limited-key", "tokens") == 200);
    }

    // ---- what a key may see ----

    @Test
    void shouldHideAdaptersThatAKeyMayNotUse() {
        with("all-key").get("/v1/models").then().body("data.id", contains("tokens", "fragile", "pirate"));
        with("limited-key").get("/v1/models").then().body("data.id", contains("tokens", "pirate"));
        with("limited-key")
                .get("/v1/adapters")
                .then()
                .body("data.name", contains("pirate"))
                .body("total", equalTo(1));
        assertEquals(200, ask("limited-key", "pirate"));
        assertEquals(200, ask("limited-key", "tokens:pirate"));
        for (String hidden : List.of("fragile", "tokens:fragile", "fragile@0", "broken", "nobody")) {
            String body = "{\"model\":\"" + hidden + "\",\"prompt\":[1],\"max_tokens\":1}";
            with("limited-key")
                    .contentType(ContentType.JSON)
                    .body(body)
                    .post("/v1/completions")
                    .then()
                    .statusCode(404)
                    .body("error.code", equalTo("model_not_found"))
                    .body("error.message", equalTo("The model `" + hidden + "` does not exist."));
            with("limited-key").get("/v1/models/" + hidden).then().statusCode(404);
            with("limited-key")
                    .get("/v1/adapters/" + hidden)
                    .then()
                    .statusCode(404)
                    .body("error.message", equalTo("There is no adapter '" + hidden + "'."));
        }
        with("all-key").get("/v1/adapters/fragile").then().statusCode(200);
    }

    @Test
    void shouldHideAdaptersThatAreAddedToOthers() {
        for (String hidden : List.of("fragile", "nobody")) {
            with("limited-key")
                    .contentType(ContentType.JSON)
                    .body("{\"model\":\"pirate\",\"lora\":[{\"name\":\"" + hidden
                            + "\"}],\"prompt\":[1],\"max_tokens\":1}")
                    .post("/v1/completions")
                    .then()
                    .statusCode(404)
                    .body("error.code", equalTo("adapter_not_found"), "error.message", containsString(hidden));
        }
    }

    @Test
    void shouldHideAdaptersInStreamsByTicketToo() {
        with("limited-key")
                .contentType(ContentType.JSON)
                .body("{\"requests\":[{\"model\":\"fragile\",\"prompt\":[1],\"max_tokens\":1}]}")
                .post("/v1/streams")
                .then()
                .statusCode(404)
                .body("error.code", equalTo("model_not_found"));
    }

    @Test
    void shouldLetWhoMayUseAnAliasUseWhatItStandsFor() {
        for (String name : List.of("canary", "secret")) {
            with("operator-key")
                    .contentType(ContentType.JSON)
                    .body("{\"to\":\"pirate\"}")
                    .put("/v1/aliases/" + name)
                    .then()
                    .statusCode(200);
        }
        with("limited-key").get("/v1/aliases").then().body("data.name", contains("canary"));
        with("limited-key").get("/v1/aliases/secret").then().statusCode(404);
        assertEquals(200, ask("limited-key", "canary"));
        assertEquals(404, ask("limited-key", "secret"));
        assertEquals(200, ask("all-key", "secret"));
        with("operator-key").delete("/v1/aliases/canary").then().statusCode(204);
        with("operator-key").delete("/v1/aliases/secret").then().statusCode(204);
    }

    @Test
    void shouldHideNamesInMetrics() {
        assertEquals(200, ask("all-key", "pirate"));
        assertEquals(200, ask("all-key", "fragile"));
        String label = "adapter_name=\"";
        with("all-key")
                .get("/metrics")
                .then()
                .body(containsString(label + "fragile"), containsString(label + "pirate"));
        with("limited-key")
                .get("/metrics")
                .then()
                .body(containsString(label + "pirate"), not(containsString("fragile")));
        given().get("/metrics")
                .then()
                .statusCode(200)
                .body(not(containsString("pirate")), not(containsString("fragile")));
    }

    // ---- what a key may do ----

    @Test
    void shouldKnowAdministratorsByTheirKeys() {
        with("operator-key").post("/v1/adapters/pirate/prefetch").then().statusCode(202);
        with("all-key")
                .post("/v1/adapters/pirate/prefetch")
                .then()
                .statusCode(403)
                .body("error.code", equalTo("not_an_administrator"));
        for (String key : List.of("wrong", "", "sha256:operator-key")) {
            with(key).post("/v1/adapters/pirate/prefetch").then().statusCode(401);
        }
        assertEquals(200, ask("operator-key", "tokens"), "administrators may ask too");
    }

    @Test
    void shouldWriteDownWhatAdministratorsDoAndWhatOthersTry() throws IOException {
        long before = Files.exists(AccessProfile.AUDIT)
                ? Files.readAllLines(AccessProfile.AUDIT).size()
                : 0;
        with("operator-key").header("x-request-id", "r1").post("/v1/adapters/pirate/prefetch");
        with("operator-key").header("x-request-id", "r2").delete("/v1/adapters/nobody");
        with("limited-key").header("x-request-id", "r3").delete("/v1/adapters/pirate");
        with("operator-key")
                .header("x-request-id", "r5")
                .contentType(ContentType.JSON)
                .body("{\"lora_name\":\"no\\nbody\"}")
                .post("/v1/unload_lora_adapter");
        with("all-key").get("/v1/adapters");
        ObjectMapper json = new ObjectMapper();
        List<String> lines = Files.readAllLines(AccessProfile.AUDIT);
        String[] expected = {
            "operator POST /v1/adapters/pirate/prefetch 202 r1",
            "operator DELETE /v1/adapters/nobody 404 r2",
            "limited DELETE /v1/adapters/pirate 403 r3",
            "operator POST /v1/unload_lora_adapter 404 r5"
        };
        List<String> found = lines.stream()
                .skip(before)
                .map(line -> {
                    JsonNode entry = read(json, line);
                    assertTrue(entry.path("time").asText().endsWith("Z"), line);
                    assertEquals("127.0.0.1", entry.path("from").asText());
                    return entry.path("who").asText() + " " + entry.path("did").asText() + " "
                            + entry.path("status").asInt() + " "
                            + entry.path("request_id").asText();
                })
                .toList();
        assertEquals(List.of(expected), found);
        assertEquals("no\nbody", read(json, lines.getLast()).path("adapter").asText());
        String all = String.join("", lines);
        assertFalse(all.contains("-key"), "never a key");
    }

    private static JsonNode read(ObjectMapper json, String line) {
        try {
            return json.readTree(line);
        } catch (IOException noJson) {
            throw new AssertionError(line, noJson);
        }
    }

    // ---- what changes while the server runs ----

    @Test
    void shouldTakeNewKeysAndForgetOldOnes() throws IOException, InterruptedException {
        for (String admin : List.of("true", "false")) {
            assertEquals(401, ask("new-key", "tokens"));
            change("chorale.keys.new.key=new-key\nchorale.keys.new.admin=" + admin);
            await("the new key holds", () -> ask("new-key", "tokens") == 200);
            with("new-key").post("/v1/adapters/pirate/prefetch").then().statusCode(admin.equals("true") ? 202 : 403);
            change("");
            await("the key is forgotten", () -> ask("new-key", "tokens") == 401);
        }
    }

    @Test
    void shouldTakeNewScopesQuotasAndLimits() throws IOException, InterruptedException {
        change("""
                chorale.keys.limited.adapters=fragile
                chorale.keys.slow.key=slow-key
                chorale.keys.slow.tenant=slow
                chorale.tenants.slow.requests-per-second=0.01
                chorale.tenants.slow.burst-seconds=100
                """);
        await("the scope is another", () -> ask("limited-key", "fragile") == 200);
        assertEquals(404, ask("limited-key", "pirate"));
        assertEquals(200, ask("slow-key", "tokens"));
        assertEquals(429, ask("slow-key", "tokens"));
        change("chorale.admission.requests-max=1\nchorale.keys.limits.key=limits-key");
        await("the limits hold", () -> ask("limits-key", "tokens") == 200);
        with("all-key")
                .contentType(ContentType.JSON)
                .body("{\"model\":\"tokens\",\"prompt\":[1],\"max_tokens\":1,\"n\":2}")
                .post("/v1/completions")
                .then()
                .statusCode(400)
                .body("error.code", equalTo("request_too_large"));
    }

    @Test
    void shouldKeepWhatHoldsWhenTheFileIsWrong() throws IOException, InterruptedException {
        for (String wrong : List.of(
                "chorale.tenants.default.weight=-1",
                "chorale.tenants.default.weight=heavy",
                "chorale.tenants.default.wait=3",
                "chorale.keys.twice.key=all-key",
                "chorale.keys.empty.tenant=default",
                "chorale.keys.broken.key=\\u12")) {
            change("chorale.keys.never.key=never-key\n" + wrong + "\n");
            Thread.sleep(300);
            assertEquals(401, ask("never-key", "tokens"), wrong);
            assertEquals(200, ask("all-key", "tokens"), wrong);
        }
        // Wrong in no word, but whoever asks would be let in.
        for (String text : List.of("chorale.tenants.default.queue-share=1\n", "#")) {
            AccessProfile.write(text);
            Thread.sleep(600);
            assertEquals(401, ask("never-key", "tokens"), "no key is left in '" + text + "'");
            assertEquals(200, ask("all-key", "tokens"));
        }
        Files.delete(AccessProfile.LIMITS);
        Thread.sleep(300);
        assertEquals(200, ask("all-key", "tokens"), "a file that is gone for a moment");
    }
}
