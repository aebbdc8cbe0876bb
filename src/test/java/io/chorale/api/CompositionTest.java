package io.chorale.api;

import static io.restassured.RestAssured.given;
import static org.hamcrest.Matchers.equalTo;
import static org.hamcrest.Matchers.matchesPattern;
import static org.hamcrest.Matchers.startsWith;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.quarkus.test.junit.QuarkusTest;
import io.restassured.http.ContentType;
import io.restassured.response.Response;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Requests that name several adapters at once. */
@QuarkusTest
class CompositionTest {
    private static Response ask(String model, String lora) {
        return given().contentType(ContentType.JSON)
                .body(("{'model':'" + model
                                + "','messages':[{'role':'user','content':'Tell me a story about a fox named Kit.'}],"
                                + "'temperature':0,'max_tokens':16,'return_token_ids':true,'lora':" + lora + "}")
                        .replace('\'', '"'))
                .post("/v1/chat/completions");
    }

    private static List<Integer> ids(String model, String lora) {
        return ask(model, lora).then().statusCode(200).extract().jsonPath().getList("choices[0].token_ids");
    }

    @Test
    void shouldAnswerAsTheOneAdapterWhereOnlyOneIsNamed() {
        List<Integer> pirate = ids("pirate", "[]");
        assertEquals(pirate, ids("fable", "[{'name':'pirate'}]"));
        assertEquals(pirate, ids("fable", "[{'name':'pirate','scale':1.0}]"));
        assertEquals(pirate, ids("pirate", "null"));
        assertEquals(pirate, ids("pirate", "[{'name':'shout','scale':0}]"));
        List<Integer> base = ids("fable", "[]");
        assertNotEquals(base, pirate);
        assertEquals(base, ids("fable", "[{'name':'pirate','scale':0},{'name':'shout','scale':-0.0}]"));
    }

    @Test
    void shouldTakePartsInAnyOrderAndTheModelAsOneOfThem() {
        List<Integer> both = ids("fable", "[{'name':'shout','scale':1},{'name':'moral','scale':0.5}]");
        assertEquals(both, ids("fable", "[{'name':'moral','scale':0.5},{'name':'shout','scale':1}]"));
        assertEquals(both, ids("shout", "[{'name':'moral','scale':0.5}]"));
        assertEquals(both, ids("fable:shout", "[{'name':'fable:moral','scale':0.5}]"));
        assertNotEquals(both, ids("shout", "[]"));
    }

    @Test
    void shouldSayWhoAnswers() {
        Response both = ask("fable", "[{'name':'shout'},{'name':'moral','scale':0.5}]");
        both.then()
                .statusCode(200)
                .header("X-Adapter", matchesPattern("shout@[0-9a-f]{12}\\+moral@[0-9a-f]{12}\\*0\\.5"))
                .body("model", equalTo("fable"));
        assertNull(ask("fable", "[{'name':'shout','scale':0}]").getHeader("X-Adapter"));
    }

    @Test
    void shouldServeThemInCompletionsToo() {
        given().contentType(ContentType.JSON)
                .body("""
                        {"model":"fable","prompt":"Tell me a story about a fox","max_tokens":4,"ignore_eos":true,
                        "lora":[{"name":"shout","scale":0.5},{"name":"pirate","scale":0.5}]}""")
                .post("/v1/completions")
                .then()
                .statusCode(200)
                .body("usage.completion_tokens", equalTo(4))
                .header("X-Adapter", startsWith("shout"));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '~', textBlock = """
            [{'name':'nobody'}]                                       | 404 | adapter_not_found | lora[0].name
            [{'name':'shout'},{'name':'nobody','scale':0}]            | 404 | adapter_not_found | lora[1].name
            [{'name':'fable'}]                                        | 400 | invalid_value     | lora[0].name
            [{'name':'shout'},{'name':'shout','scale':0.5}]           | 400 | invalid_value     | lora[1].name
            [{'name':'shout','scale':0},{'name':'shout'}]             | 400 | invalid_value     | lora[1].name
            [{'scale':0.5}]                                           | 400 | missing_parameter | lora[0].name
            [{'name':''}]                                             | 400 | missing_parameter | lora[0].name
            [{'name':7}]                                              | 400 | invalid_type      | lora[0].name
            [{'name':'shout','scale':'much'}]                         | 400 | invalid_type      | lora[0].scale
            [{'name':'shout','scale':1e9}]                            | 400 | invalid_value     | lora[0].scale
            [{'name':'shout','sclae':2}]                              | 400 | invalid_value     | lora[0].sclae
            ['shout']                                                 | 400 | invalid_type      | lora[0]
            {'name':'shout'}                                          | 400 | invalid_type      | lora
            'shout'                                                   | 400 | invalid_type      | lora
            [{},{},{},{},{},{},{},{},{}]                              | 400 | invalid_value     | lora
            """)
    void shouldRefuseWhatMakesNoSense(String lora, int status, String code, String param) {
        ask("fable", lora)
                .then()
                .statusCode(status)
                .body("error.code", equalTo(code))
                .body("error.param", equalTo(param));
    }

    @Test
    void shouldRefuseToAddAnAdapterToItself() {
        ask("shout", "[{'name':'shout','scale':0.5}]")
                .then()
                .statusCode(400)
                .body("error.message", equalTo("The adapter `shout` is named twice; add the factors up instead."));
    }
}
