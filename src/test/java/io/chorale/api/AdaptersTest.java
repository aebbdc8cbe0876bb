package io.chorale.api;

import static io.chorale.api.AdminCalls.FABLE;
import static io.chorale.api.AdminCalls.admin;
import static io.chorale.api.AdminCalls.adminJson;
import static io.chorale.api.AdminCalls.ask;
import static io.chorale.api.AdminCalls.await;
import static io.chorale.api.AdminCalls.hostAdapters;
import static io.chorale.api.AdminCalls.place;
import static io.chorale.api.AdminCalls.put;
import static io.chorale.api.AdminCalls.zip;
import static io.restassured.RestAssured.given;
import static org.hamcrest.Matchers.containsString;
import static org.hamcrest.Matchers.equalTo;
import static org.hamcrest.Matchers.everyItem;
import static org.hamcrest.Matchers.greaterThan;
import static org.hamcrest.Matchers.hasItem;
import static org.hamcrest.Matchers.hasItems;
import static org.hamcrest.Matchers.hasSize;
import static org.hamcrest.Matchers.matchesPattern;
import static org.hamcrest.Matchers.notNullValue;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.RestAssured;
import io.restassured.http.ContentType;
import io.restassured.specification.RequestSpecification;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What an administrator may do to adapters while the server runs, and every refusal. */
@QuarkusTest
@TestProfile(AdminProfile.class)
class AdaptersTest {
    @ParameterizedTest
    @CsvSource({
        "PUT,/v1/adapters/x",
        "DELETE,/v1/adapters/pirate",
        "POST,/v1/adapters/pirate/pin",
        "POST,/v1/adapters/pirate/unpin",
        "POST,/v1/adapters/pirate/prefetch",
        "POST,/v1/adapters/pirate/rollback",
        "POST,/v1/adapters/validate",
        "PUT,/v1/aliases/x",
        "DELETE,/v1/aliases/x",
        "POST,/v1/load_lora_adapter",
        "POST,/v1/unload_lora_adapter",
    })
    void shouldLetOnlyAdministratorsChangeAnything(String method, String path) {
        for (String header : new String[] {"", "Bearer wrong", "Bearer ", "Basic c2VjcmV0LWtleQ==", AdminProfile.KEY}) {
            RequestSpecification request = given().contentType(ContentType.JSON).body("{}");
            (header.isEmpty() ? request : request.header("Authorization", header))
                    .request(method, path)
                    .then()
                    .statusCode(401)
                    .header("x-should-retry", "false")
                    .body("error.type", equalTo("authentication_error"))
                    .body("error.code", equalTo("invalid_api_key"));
        }
    }

    @Test
    void shouldLetEverybodyLook() {
        RestAssured.get("/v1/adapters")
                .then()
                .statusCode(200)
                .body("data.name", hasItem("pirate"))
                .body("data.find { it.name == 'pirate' }.rank", equalTo(16))
                .body("data.find { it.name == 'pirate' }.state", equalTo("usable"))
                .body("host.bytes_max", equalTo(3 << 20))
                .body("data.versions.flatten()", everyItem(notNullValue()))
                .body("total", greaterThan(0));
        RestAssured.get("/v1/adapters/pirate").then().statusCode(200).body("base_model", equalTo("fable"));
        RestAssured.get("/v1/adapters/pirate")
                .then()
                .body(
                        "warnings[0]",
                        containsString(
                                "'base_model_name_or_path' is \"fable\", but the base model served is \"base\""));
        RestAssured.get("/v1/adapters/nobody").then().statusCode(404).body("error.code", equalTo("adapter_not_found"));
        RestAssured.get("/v1/adapters?limit=0").then().statusCode(400).body("error.param", equalTo("limit"));
        RestAssured.get("/v1/adapters?limit=1&after=pirata")
                .then()
                .body("data.name", equalTo(java.util.List.of("pirate")));
    }

    @Test
    void shouldLoadReplaceRollBackAndRemove() throws Exception {
        put("tenant", AdminProfile.MORE.resolve("moral")).then().statusCode(201).body("version", notNullValue());
        String first = RestAssured.get("/v1/adapters/tenant").jsonPath().getString("version");
        ask("tenant", "").then().statusCode(200).header("X-Adapter", "tenant@" + first);
        put("tenant", AdminProfile.MORE.resolve("moral")).then().statusCode(200).body("versions", hasSize(1));
        put("tenant", Path.of("robot")).then().statusCode(200).body("versions", hasSize(2));
        String second = RestAssured.get("/v1/adapters/tenant").jsonPath().getString("version");
        assertNotEquals(first, second);
        ask("tenant", "").then().statusCode(200).header("X-Adapter", "tenant@" + second);
        ask("tenant@" + first, "").then().statusCode(200).header("X-Adapter", "tenant@" + first);
        adminJson("{}")
                .post("/v1/adapters/tenant/rollback")
                .then()
                .statusCode(200)
                .body("version", equalTo(first));
        adminJson("{}")
                .post("/v1/adapters/tenant/rollback")
                .then()
                .statusCode(409)
                .body("error.message", containsString("has no earlier version"));
        adminJson("{'version':'" + second + "'}")
                .post("/v1/adapters/tenant/rollback")
                .then()
                .statusCode(200)
                .body("version", equalTo(second));
        // A slip must not roll back to whatever was before.
        adminJson("{'versoin':'" + first + "'}")
                .post("/v1/adapters/tenant/rollback")
                .then()
                .statusCode(400)
                .body("error.param", equalTo("versoin"));
        adminJson("{'version':'0000'}")
                .post("/v1/adapters/tenant/rollback")
                .then()
                .statusCode(404);
        admin().delete("/v1/adapters/tenant").then().statusCode(204);
        admin().delete("/v1/adapters/tenant").then().statusCode(404);
        ask("tenant", "").then().statusCode(404).body("error.code", equalTo("model_not_found"));
    }

    @Test
    void shouldRefuseNamesThatAreTakenOrNoNames() {
        put("base", Path.of("moral")).then().statusCode(409);
        put("a b", Path.of("moral")).then().statusCode(400);
        put("-a", Path.of("moral")).then().statusCode(400);
        put("a".repeat(129), Path.of("moral")).then().statusCode(400);
    }

    @Test
    void shouldValidateWithoutServing() throws Exception {
        adminJson("{'source':'moral'}")
                .post("/v1/adapters/validate")
                .then()
                .statusCode(200)
                .body("valid", equalTo(true))
                .body("rank", equalTo(4))
                .body("warnings[0]", containsString("but the base model served is \"base\""))
                .body("digest", matchesPattern("[0-9a-f]{64}"));
        admin().contentType("application/zip")
                .body(zip("shout", "", "0"))
                .post("/v1/adapters/validate")
                .then()
                .statusCode(422)
                .body("error.code", equalTo("adapter_invalid"))
                .body("error.problems[0]", containsString("the adapter changes nothing"));
        Path two = Files.createDirectories(AdminProfile.MORE.resolve("two-faults"));
        Files.writeString(
                two.resolve("adapter_config.json"),
                Files.readString(FABLE.resolve("moral/adapter_config.json"))
                        .replace("\"bias\": \"none\"", "\"bias\": \"all\"")
                        .replace("\"use_dora\": false", "\"use_dora\": true"));
        Files.copy(
                FABLE.resolve("moral/adapter_model.safetensors"),
                two.resolve("adapter_model.safetensors"),
                java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        put("two", two)
                .then()
                .statusCode(422)
                .body("error.problems", hasItems(containsString("'bias'"), containsString("use_dora is set, but")));
        RestAssured.get("/v1/adapters/two").then().statusCode(404);
    }

    @Test
    void shouldPinPrefetchAndSayWhereAdaptersAre() throws Exception {
        int before = hostAdapters();
        put("pinned", Path.of("moral")).then().statusCode(201);
        admin().post("/v1/adapters/pinned/pin").then().statusCode(200).body("pinned", equalTo(true));
        await("it comes into host memory", () -> place("pinned").equals("host"));
        put("second", Path.of("robot")).then().statusCode(201);
        admin().post("/v1/adapters/second/pin").then().statusCode(200);
        put("third", Path.of("shout")).then().statusCode(201);
        admin().post("/v1/adapters/third/pin").then().statusCode(409).body("error.code", equalTo("no_room"));
        admin().post("/v1/adapters/third/prefetch").then().statusCode(202);
        await("it comes into host memory", () -> place("third").equals("host"));
        ask("pinned", "").then().statusCode(200);
        await("it stays on the device", () -> place("pinned").equals("device"));
        RestAssured.get("/v1/adapters/pinned")
                .then()
                .body("requests", equalTo(1))
                .body("idle_seconds", notNullValue());
        admin().post("/v1/adapters/pinned/unpin").then().statusCode(200).body("pinned", equalTo(false));
        admin().post("/v1/adapters/nobody/pin").then().statusCode(404);
        admin().post("/v1/adapters/nobody/unpin").then().statusCode(404);
        admin().post("/v1/adapters/nobody/prefetch").then().statusCode(404);
        for (String name : new String[] {"pinned", "second", "third"}) {
            admin().delete("/v1/adapters/" + name).then().statusCode(204);
        }
        await("nothing of them stays in host memory", () -> hostAdapters() <= before);
        RestAssured.get("/v1/adapters").then().body("host.bytes_pinned", equalTo(0));
    }

    @Test
    void shouldTellGatewaysWhereAdaptersAre() throws Exception {
        put("resident", Path.of("moral")).then().statusCode(201);
        put("absent", Path.of("moral")).then().statusCode(201);
        ask("resident", "").then().statusCode(200);
        await("it is on the device", () -> place("resident").equals("device"));
        String metrics = RestAssured.get("/metrics").asString();
        assertTrue(
                metrics.contains("vllm:lora_adapter_loaded{model_name=\"base\",engine=\"0\",adapter_name=\"resident\","
                        + "level=\"gpu\",pinned=\"false\",rank=\"4\"} 1"),
                metrics);
        assertTrue(!metrics.contains("adapter_name=\"absent\""), metrics);
        assertTrue(
                metrics.matches(
                        "(?s).*vllm:lora_requests_info\\{[^}]*max_lora=\"256\",running_lora_adapters=\"[^\"]*resident"
                                + "[^\"]*\",waiting_lora_adapters=\"\"\\} [0-9.E]+\n.*"),
                metrics);
        assertTrue(metrics.contains("vllm:num_gpu_loaded_lora_adapters{model_name=\"base\",engine=\"0\"}"), metrics);
        assertTrue(metrics.contains("vllm:max_gpu_lora_adapters{model_name=\"base\",engine=\"0\"} 256"), metrics);
        admin().delete("/v1/adapters/resident").then().statusCode(204);
        await(
                "it is on no device any more",
                () -> !RestAssured.get("/metrics").asString().contains("adapter_name=\"resident\""));
    }
}
