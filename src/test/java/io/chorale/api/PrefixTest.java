package io.chorale.api;

import static io.restassured.RestAssured.given;
import static org.hamcrest.Matchers.containsString;
import static org.hamcrest.Matchers.equalTo;
import static org.hamcrest.Matchers.startsWith;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.core.model.AdapterSet;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.RestAssured;
import io.restassured.http.ContentType;
import io.restassured.path.json.JsonPath;
import io.restassured.response.Response;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What requests find of each other, and what they must not. */
@QuarkusTest
@TestProfile(PrefixProfile.class)
class PrefixTest {
    private static final int TOKENS = 100;

    /** Full pages of {@link #TOKENS} tokens. */
    private static final int FULL = 96;

    /** Tokens that no other test uses. */
    private static int[] document(int first) {
        return IntStream.range(0, TOKENS).map(i -> first + i % 9).toArray();
    }

    private static int[] then(int[] first, int... second) {
        return IntStream.concat(IntStream.of(first), IntStream.of(second)).toArray();
    }

    private static Response ask(String key, String model, int[] prompt, String more) {
        return given().contentType(ContentType.JSON)
                .header("Authorization", "Bearer " + key)
                .body(("{'model':'" + model + "','prompt':" + Arrays.toString(prompt) + ",'max_tokens':3,'seed':1"
                                + more + "}")
                        .replace('\'', '"'))
                .post("/v1/completions");
    }

    private static int cached(String key, String model, int[] prompt, String more) {
        JsonPath answer =
                ask(key, model, prompt, more).then().statusCode(200).extract().jsonPath();
        Integer cached = answer.get("usage.prompt_tokens_details.cached_tokens");
        return cached == null ? 0 : cached;
    }

    private static List<Integer> ids(String model, int[] prompt) {
        return ask("acme-1", model, prompt, ",'return_token_ids':true")
                .then()
                .statusCode(200)
                .extract()
                .jsonPath()
                .getList("choices[0].token_ids");
    }

    private static JsonPath load() {
        return given().header("Authorization", "Bearer acme-1").get("/v1/load").jsonPath();
    }

    @Test
    void shouldFindOnlyWhatTheSameTenantAskedWithTheSameSaltAndAdapter() {
        int[] prompt = document(20);
        assertEquals(0, cached("acme-1", "tokens", prompt, ""));
        assertEquals(FULL, cached("acme-1", "tokens", prompt, ""));
        assertEquals(0, cached("umbrella-1", "tokens", prompt, ""));
        assertEquals(0, cached("acme-1", "plain", prompt, ""));
        assertEquals(0, cached("acme-1", "tokens", prompt, ",'cache_salt':'a'"));
        assertEquals(0, cached("acme-1", "tokens", prompt, ",'cache_salt':'b'"));
        assertEquals(FULL, cached("acme-1", "tokens", prompt, ",'cache_salt':'a'"));
        assertEquals(0, cached("umbrella-1", "tokens", prompt, ",'cache_salt':'a'"));
        assertEquals(FULL, cached("acme-1", "plain", prompt, ""));
    }

    @ParameterizedTest
    @ValueSource(strings = {"''", "7", "['a']"})
    void shouldRefuseASaltThatIsNone(String salt) {
        ask("acme-1", "tokens", new int[] {1}, ",'cache_salt':" + salt)
                .then()
                .statusCode(400)
                .body("error.param", equalTo("cache_salt"));
    }

    @Test
    void shouldTellInStreamsAndMetricsToo() {
        int[] prompt = document(40);
        JsonPath before = load();
        cached("acme-1", "tokens", prompt, "");
        String stream = ask("acme-1", "tokens", prompt, ",'stream':true,'stream_options':{'include_usage':true}")
                .asString();
        assertTrue(stream.contains("\"cached_tokens\":" + FULL), stream);
        JsonPath after = load();
        assertEquals(2 * TOKENS, after.getInt("prefix_tokens.queried") - before.getInt("prefix_tokens.queried"));
        assertEquals(FULL, after.getInt("prefix_tokens.found") - before.getInt("prefix_tokens.found"));
        assertTrue(after.getInt("pages.cached") > 0, after.prettify());
        RestAssured.get("/metrics")
                .then()
                .body(containsString("vllm:prefix_cache_queries_total"))
                .body(containsString("vllm:prefix_cache_hits_total"));
        RestAssured.get("/q/metrics").then().body(containsString("chorale_prefix_tokens_total{kind=\"found\"}"));
    }

    @Test
    void shouldShareTheBasesPagesUpToTheInvocation() {
        int[] document = document(60);
        assertEquals(0, cached("acme-1", "tokens", document, ""));
        int[] invoked = then(document, 7, 8, 1);
        assertEquals(FULL, cached("acme-1", "activated", invoked, ""));
        assertNotEquals(ids("tokens", invoked), ids("activated", invoked));
        assertNotEquals(ids("plain", invoked), ids("activated", invoked));
        ask("acme-1", "activated", invoked, "").then().header("X-Adapter", startsWith("activated"));
    }

    /** As in PEFT: what does not invoke it is answered by the base model; and that is said. */
    @Test
    void shouldAnswerAsTheBaseWhatDoesNotInvokeTheAdapter() {
        int[] prompt = then(document(80), 8, 7);
        assertEquals(ids("tokens", prompt), ids("activated", prompt));
        Response response = ask("acme-1", "activated", prompt, "");
        response.then().statusCode(200).body("model", equalTo("activated"));
        assertNull(response.getHeader("X-Adapter"));
    }

    @Test
    void shouldNotCombineAnActivatedAdapterWithOthers() {
        ask("acme-1", "activated", new int[] {7, 8}, ",'lora':[{'name':'plain'}]")
                .then()
                .statusCode(400)
                .body("error.message", containsString("activated LoRA"));
    }

    @Test
    void shouldTakeTheLastInvocationWhereThereAreSeveral() {
        ModelCatalog.Served served = new ModelCatalog.Served("a", AdapterSet.of(1), List.of(), List.of(7, 8));
        assertEquals(4, served.activeFrom(new int[] {1, 7, 8, 2, 7, 8, 3}));
        assertEquals(0, served.activeFrom(new int[] {7, 8}));
        assertEquals(1, served.activeFrom(new int[] {7, 7, 8}));
        assertEquals(-1, served.activeFrom(new int[] {7, 7}));
        assertEquals(-1, served.activeFrom(new int[] {8}));
    }
}
