package io.chorale.api;

import static io.restassured.RestAssured.given;
import static org.hamcrest.Matchers.containsString;
import static org.hamcrest.Matchers.equalTo;
import static org.hamcrest.Matchers.hasSize;

import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.RestAssured;
import io.restassured.http.ContentType;
import io.restassured.response.ValidatableResponse;
import org.junit.jupiter.api.Test;

/** What is served without any weights in files. */
@QuarkusTest
@TestProfile(DummyProfile.class)
class DummyModelTest {
    private static ValidatableResponse ask(String model, String prompt) {
        return given().contentType(ContentType.JSON)
                .body("{\"model\":\"" + model + "\",\"prompt\":" + prompt + ",\"max_tokens\":5}")
                .post("/v1/completions")
                .then();
    }

    @Test
    void shouldListTheModelAndAllAdapters() {
        RestAssured.get("/v1/models")
                .then()
                .statusCode(200)
                .body("data", hasSize(2001))
                .body("data[0].id", equalTo("llama-2-7b"))
                .body("data[0].max_model_len", equalTo(4096))
                .body("data[1].id", equalTo("dummy-0000"))
                .body("data[2000].id", equalTo("dummy-1999"))
                .body("data[2000].root", equalTo("dummy/seed-1999/rank-64"));
    }

    @Test
    void shouldServeTokenIds() {
        for (String model : new String[] {"llama-2-7b", "dummy-0000", "dummy-1999"}) {
            ask(model, "[31999,1,2]").statusCode(200).body("choices[0].token_ids", hasSize(5));
        }
        ask("dummy-2000", "[1]").statusCode(404);
        ask("llama-2-7b", "[32000]").statusCode(400);
    }

    @Test
    void shouldSayThatItHasNoTokenizer() {
        ask("dummy-0000", "\"Tell me a story\"").statusCode(400).body("error.message", containsString("tokenizer"));
    }
}
