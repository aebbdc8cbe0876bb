package io.chorale.api;

import static io.chorale.api.AdminCalls.admin;
import static io.chorale.api.AdminCalls.adminJson;
import static io.chorale.api.AdminCalls.ask;
import static io.chorale.api.AdminCalls.await;
import static io.chorale.api.AdminCalls.put;
import static io.chorale.api.AdminCalls.version;
import static io.chorale.api.AdminCalls.zip;
import static org.hamcrest.Matchers.containsString;
import static org.hamcrest.Matchers.equalTo;
import static org.hamcrest.Matchers.hasItem;
import static org.hamcrest.Matchers.hasSize;
import static org.hamcrest.Matchers.not;
import static org.hamcrest.Matchers.notNullValue;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.adapter.source.MockHub;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.RestAssured;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import org.eclipse.microprofile.config.ConfigProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Adapters that come from folders and from other machines. */
@QuarkusTest
@TestProfile(AdminProfile.class)
class AdapterSourcesTest {
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '~',
            value = {
                "{}|400|missing_parameter",
                "{'source':7}|400|invalid_type",
                "{'source':'/etc'}|403|source_forbidden",
                "{'source':'/etc/nothing/here'}|403|source_forbidden",
                "{'source':'../outside/json'}|403|source_forbidden",
                "{'source':'sneaky'}|403|source_forbidden",
                "{'source':'linked'}|403|source_forbidden",
                "{'source':'moral/../../outside/json'}|403|source_forbidden",
                "{'source':'ghost'}|404|adapter_not_found",
                "{'source':'a\\u0000b'}|400|invalid_value",
                "{'source':'moral','sha256':'12'}|400|invalid_value",
                "{'source':'moral','sha256':'0000000000000000000000000000000000000000000000000000000000000000'}|400|invalid_value",
            })
    void shouldRefuseSourcesByTheirFault(String body, int status, String code) {
        adminJson(body).put("/v1/adapters/refused").then().statusCode(status).body("error.code", equalTo(code));
        adminJson(body).post("/v1/adapters/validate").then().statusCode(status).body("error.code", equalTo(code));
        RestAssured.get("/v1/adapters/refused").then().statusCode(404);
    }

    @Test
    void shouldFetchFromTheHubAndOutliveSourcesThatFail() throws Exception {
        adminJson("{'source':'hf://good/moral@main'}")
                .put("/v1/adapters/fetched")
                .then()
                .statusCode(201)
                .body("version", notNullValue());
        ask("fetched", "").then().statusCode(200);
        adminJson("{'source':'hf://breaks/robot'}")
                .put("/v1/adapters/resumed")
                .then()
                .statusCode(201);
        String zip = ConfigProvider.getConfig().getValue("chorale.sources.hub", String.class) + "/files/bullets.zip";
        adminJson("{'source':'" + zip + "','sha256':'" + MockHub.sha256(MockHub.zip("bullets")) + "'}")
                .put("/v1/adapters/zipped")
                .then()
                .statusCode(201);
        adminJson("{'source':'" + zip + "','sha256':'" + "0".repeat(64) + "'}")
                .put("/v1/adapters/lied")
                .then()
                .statusCode(502)
                .body("error.code", equalTo("source_failed"));
        adminJson("{'source':'https://example.com/a.zip','sha256':'" + "0".repeat(64) + "'}")
                .put("/v1/adapters/foreign")
                .then()
                .statusCode(403);
        adminJson("{'source':'hf://good/ghost'}")
                .put("/v1/adapters/ghost")
                .then()
                .statusCode(404);
        CompletableFuture<Integer> hanging =
                CompletableFuture.supplyAsync(() -> adminJson("{'source':'hf://hangs/moral'}")
                        .put("/v1/adapters/never")
                        .statusCode());
        ask("pirate", "").then().statusCode(200);
        put("meanwhile", Path.of("moral")).then().statusCode(201);
        assertEquals(502, hanging.join());
        for (int i = 0; i < 6; i++) {
            adminJson("{'source':'hf://fails/moral'}")
                    .put("/v1/adapters/never")
                    .then()
                    .statusCode(502);
        }
        String metrics = RestAssured.get("/q/metrics").asString();
        assertTrue(metrics.contains("chorale_sources_open 1.0"), metrics);
        assertTrue(metrics.matches("(?s).*chorale_source_calls_total\\{event=\"retried\",?\\} [1-9].*"), metrics);
        assertTrue(metrics.matches("(?s).*chorale_source_calls_total\\{event=\"prevented\",?\\} [1-9].*"), metrics);
        RestAssured.get("/v1/adapters/never").then().statusCode(404);
        assertEquals(0, Files.list(AdminProfile.ROOT.resolve("state/incoming")).count(), "nothing is left behind");
    }

    @Test
    void shouldFollowTheWatchedFolder() throws Exception {
        Path made = AdminProfile.ROOT.resolve("made");
        AdminProfile.adapter("bullets", made);
        Path folder = AdminProfile.WATCHED.resolve("newcomer");
        Files.move(made, folder);
        await("the new adapter is found", () -> ask("newcomer", "").statusCode() == 200);
        String first = RestAssured.get("/v1/adapters/newcomer").jsonPath().getString("version");
        AdminProfile.adapter("json", made);
        for (String file : new String[] {"adapter_config.json", "adapter_model.safetensors"}) {
            Files.move(made.resolve(file), folder.resolve(file), java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        }
        Files.delete(made);
        await("the new version is found", () -> !version("newcomer").equals(first));
        ask("newcomer", "").then().statusCode(200).header("X-Adapter", "newcomer@" + version("newcomer"));
        adminJson("{}")
                .post("/v1/adapters/newcomer/rollback")
                .then()
                .statusCode(200)
                .body("version", equalTo(first));
        ask("newcomer", "").then().statusCode(200).header("X-Adapter", "newcomer@" + first);
        admin().delete("/v1/adapters/newcomer").then().statusCode(204);
        Thread.sleep(300);
        ask("newcomer", "").then().statusCode(404);
        put("newcomer", folder).then().statusCode(201);
        Files.delete(folder.resolve("adapter_config.json"));
        Files.delete(folder.resolve("adapter_model.safetensors"));
        Files.delete(folder);
        await("what is gone is removed", () -> ask("newcomer", "").statusCode() == 404);
    }

    @Test
    void shouldServeTheGoodAmongTheBroken() throws Exception {
        Path broken = Files.createDirectories(AdminProfile.WATCHED.resolve("broken"));
        Files.writeString(broken.resolve("adapter_config.json"), "{");
        await(
                "the broken one is listed",
                () -> RestAssured.get("/v1/adapters/broken").statusCode() == 200);
        RestAssured.get("/v1/adapters/broken")
                .then()
                .body("state", equalTo("invalid"))
                .body("problems", not(hasSize(0)));
        ask("broken", "").then().statusCode(422).body("error.problems", not(hasSize(0)));
        ask("pirate", "").then().statusCode(200);
        RestAssured.get("/v1/models").then().body("data.id", not(hasItem("broken")));
        admin().post("/v1/adapters/broken/pin").then().statusCode(422);
        admin().post("/v1/adapters/broken/prefetch").then().statusCode(422);
    }

    /** Who asks for the base model must get it. */
    @Test
    void shouldNotServeAFolderByTheNameOfTheBaseModel() throws Exception {
        AdminProfile.adapter("bullets", AdminProfile.WATCHED.resolve("base"));
        await("the folder is found", () -> RestAssured.get("/v1/adapters/base").statusCode() == 200);
        RestAssured.get("/v1/adapters/base")
                .then()
                .body("state", equalTo("invalid"))
                .body("problems[0]", containsString("its name is the base model's"));
        assertEquals(
                1,
                RestAssured.get("/v1/models").jsonPath().getList("data.id").stream()
                        .filter("base"::equals)
                        .count());
    }
}
