package io.chorale.api;

import static io.restassured.RestAssured.given;

import io.restassured.http.ContentType;
import io.restassured.specification.RequestSpecification;

/** Calls of somebody who shows a key or a token. */
final class BearerCalls {
    private BearerCalls() {}

    static RequestSpecification with(String bearer) {
        return given().header("Authorization", "Bearer " + bearer);
    }

    /** The status of a short answer. */
    static int ask(String bearer, String model) {
        return with(bearer)
                .contentType(ContentType.JSON)
                .body("{\"model\":\"" + model + "\",\"prompt\":[1,2,3],\"max_tokens\":1}")
                .post("/v1/completions")
                .statusCode();
    }
}
