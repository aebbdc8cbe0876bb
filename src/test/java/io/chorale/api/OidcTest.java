package io.chorale.api;

import static io.chorale.api.BearerCalls.ask;
import static io.chorale.api.BearerCalls.with;
import static io.restassured.RestAssured.given;
import static org.hamcrest.Matchers.contains;
import static org.hamcrest.Matchers.equalTo;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.http.ContentType;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Tokens of a provider of identities: which are believed, and what their claims let their holders do. */
@QuarkusTest
@TestProfile(OidcProfile.class)
class OidcTest {
    private static final MockIssuer ISSUER = OidcProfile.ISSUER;
    private static final String ADMIN = ",\"realm_access\":{\"roles\":[\"chorale-admin\",\"other\"]}";

    @Test
    void shouldTakeTokensAndKeysSideBySide() {
        assertEquals(200, ask(ISSUER.token("alice", ""), "tokens"));
        assertEquals(200, ask("machine-key", "tokens"));
        given().get("/v1/models").then().statusCode(401).header("WWW-Authenticate", "Bearer");
        given().get("/q/health/live").then().statusCode(200);
    }

    @Test
    void shouldRefuseTokensThatAreForgedExpiredOrMeantForOthers() {
        String good = ISSUER.token("alice", ADMIN);
        String[] parts = good.split("\\.", -1);
        String[] other = ISSUER.token("mallory", "").split("\\.", -1);
        for (String bad : List.of(
                ISSUER.forged("alice"),
                ISSUER.expired("alice"),
                ISSUER.forOthers("alice"),
                ISSUER.ofAnotherIssuer("alice"),
                ISSUER.unsigned("alice"),
                other[0] + "." + parts[1] + "." + other[2],
                parts[0] + "." + parts[1] + ".",
                "a.b.c",
                "..",
                "no-token")) {
            with(bad).get("/v1/models").then().statusCode(401).body("error.code", equalTo("invalid_api_key"));
        }
    }

    @Test
    void shouldKnowAdministratorsByTheirRole() {
        String path = "/v1/adapters/pirate/prefetch";
        String admin = ISSUER.token("root", ADMIN);
        with(admin).post(path).then().statusCode(202);
        for (String more :
                List.of("", ",\"realm_access\":{\"roles\":[\"admin\"]}", ",\"realm_access\":\"chorale-admin\"")) {
            with(ISSUER.token("alice", more)).post(path).then().statusCode(403);
        }
    }

    @Test
    void shouldShowTheAdaptersThatTheClaimLists() {
        String token = ISSUER.token("alice", ",\"adapters\":[\"pir*\"]");
        with(token).get("/v1/models").then().body("data.id", contains("tokens", "pirate"));
        assertEquals(200, ask(token, "pirate"));
        assertEquals(404, ask(token, "fragile"));
        assertEquals(404, ask(ISSUER.token("alice", ",\"adapters\":[]"), "pirate"));
    }

    @Test
    void shouldServeOnTheTermsOfTheTenantThatTheClaimNames() {
        String token = ISSUER.token("alice", ",\"tenant\":\"acme\"");
        with(token)
                .contentType(ContentType.JSON)
                .body("{\"model\":\"tokens\",\"prompt\":[1],\"max_tokens\":1,\"n\":2}")
                .post("/v1/completions")
                .then()
                .statusCode(400)
                .body("error.code", equalTo("request_too_large"));
        assertEquals(200, ask(token, "tokens"));
    }
}
