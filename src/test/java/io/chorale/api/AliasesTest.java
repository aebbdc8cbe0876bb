package io.chorale.api;

import static io.chorale.api.AdminCalls.admin;
import static io.chorale.api.AdminCalls.adminJson;
import static io.chorale.api.AdminCalls.ask;
import static io.chorale.api.AdminCalls.put;
import static org.hamcrest.Matchers.equalTo;
import static org.hamcrest.Matchers.hasItem;
import static org.hamcrest.Matchers.hasItems;
import static org.hamcrest.Matchers.matchesPattern;
import static org.hamcrest.Matchers.notNullValue;
import static org.hamcrest.Matchers.startsWith;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.RestAssured;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Names that stand for adapters. */
@QuarkusTest
@TestProfile(AdminProfile.class)
class AliasesTest {
    @Test
    void shouldDealUsersOutAndKeepThem() {
        put("v7", Path.of("moral"));
        put("v8", Path.of("robot"));
        adminJson("{'weights':{'v7':95,'v8':5}}")
                .put("/v1/aliases/support")
                .then()
                .statusCode(200)
                .body("weights.v8", equalTo(5f));
        Set<String> seen = new HashSet<>();
        int eighth = 0;
        for (int user = 0; user < 200; user++) {
            String first = ask("support", ",'user':'u" + user + "'").getHeader("X-Adapter");
            if (user < 10) {
                assertEquals(first, ask("support", ",'user':'u" + user + "'").getHeader("X-Adapter"));
            }
            seen.add(first.substring(0, 2));
            eighth += first.startsWith("v8") ? 1 : 0;
        }
        assertEquals(Set.of("v7", "v8"), seen);
        assertTrue(eighth < 30, eighth + " of 200 got the canary of 5 %");
        RestAssured.get("/v1/models").then().body("data.id", hasItems("support", "v7", "v8"));
        RestAssured.get("/v1/aliases").then().body("data.name", hasItem("support"));
        RestAssured.get("/v1/aliases/support").then().statusCode(200);
        adminJson("{'to':'v8'}").put("/v1/aliases/support").then().statusCode(200);
        ask("support", "").then().statusCode(200).header("X-Adapter", matchesPattern("v8@[0-9a-f]{12}"));
        admin().delete("/v1/aliases/support").then().statusCode(204);
        admin().delete("/v1/aliases/support").then().statusCode(404);
        RestAssured.get("/v1/aliases/support").then().statusCode(404);
        ask("support", "").then().statusCode(404);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '~',
            value = {
                "other|{}|400",
                "other|{'to':'pirate','weights':{'pirate':1}}|400",
                "other|{'weights':{}}|400",
                "other|{'to':'pirate','weight':1}|400",
                "other|{'weights':{'pirate':0}}|400",
                "other|{'weights':{'pirate':-1}}|400",
                "other|{'weights':{'pirate':'x'}}|400",
                "other|{'to':'ghost'}|404",
                "other|{'to':'pirate@0000'}|404",
                "pirate|{'to':'pirate'}|409",
                "base|{'to':'pirate'}|409",
                "a b|{'to':'pirate'}|400",
            })
    void shouldRefuseAliasesByTheirFault(String name, String body, int status) {
        adminJson(body).put("/v1/aliases/" + name).then().statusCode(status).body("error.message", notNullValue());
    }

    @Test
    void shouldNotLetAnAdapterTakeTheNameOfAnAlias() {
        adminJson("{'to':'pirate'}").put("/v1/aliases/reserved").then().statusCode(200);
        put("reserved", Path.of("moral"))
                .then()
                .statusCode(409)
                .body("error.message", equalTo("'reserved' is the name of an alias."));
        ask("reserved", "").then().statusCode(200).header("X-Adapter", startsWith("pirate"));
        admin().delete("/v1/aliases/reserved").then().statusCode(204);
    }
}
