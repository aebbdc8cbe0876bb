package io.chorale.api;

import static io.restassured.RestAssured.given;
import static org.hamcrest.Matchers.containsString;
import static org.hamcrest.Matchers.equalTo;
import static org.hamcrest.Matchers.not;
import static org.hamcrest.Matchers.nullValue;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.RestAssured;
import io.restassured.http.ContentType;
import io.restassured.response.Response;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Every request that gets an error instead of an answer, and what the error says. */
@QuarkusTest
@TestProfile(TokensProfile.class)
class RefusalTest {
    private static final String COMPLETIONS = "/v1/completions";
    private static final String CHAT = "/v1/chat/completions";

    @ParameterizedTest
    @ValueSource(
            strings = {"{", "not json", "{'model':'tokens'}}", "{'model':NaN}", "{'a':01}", "\u0000", "{'a':'\uD800"})
    void shouldRefuseWhatIsNotJson(String body) {
        refused(post(COMPLETIONS, body), 400, "invalid_json", null, "The request body is not valid JSON: ");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '~',
            value = {
                "{'a':1|it ends too early (line 1, column 7).",
                "{} {}|something follows the value (line 1, column 4).",
                "{'a':NaN}|a character, name or value is wrong (line 1, column 9).",
                "{'model':'tokens','prompt':[1],'model':'pirate'}|Duplicate field 'model' (line 1, column 40).",
                "{'logit_bias':{'1':1,'\\u0031':2}}|Duplicate field '1' (line 1, column 31).",
            })
    void shouldSayInItsOwnWordsWhatIsNotJson(String body, String message) {
        refused(post(COMPLETIONS, body), 400, "invalid_json", null, "The request body is not valid JSON: " + message);
    }

    @Test
    void shouldShowLittleOfALongNameThatComesTwice() {
        String name = "'" + "a".repeat(5_000) + "':1";
        Response response = post(COMPLETIONS, "{" + name + "," + name + "}");
        refused(response, 400, "invalid_json", null, "aaa...' (line 1");
        assertTrue(response.asString().length() < 500);
    }

    @Test
    void shouldSayThatTheBodyIsEmpty() {
        refused(post(COMPLETIONS, ""), 400, "invalid_json", null, "The request body is empty.");
    }

    @Test
    void shouldBoundNumbers() {
        refused(
                post(COMPLETIONS, "{'a':" + "1".repeat(2_000) + "}"),
                400,
                "invalid_json",
                null,
                "a name, string or number is too long");
    }

    @ParameterizedTest
    @ValueSource(strings = {"[]", "7", "'text'", "null", "true"})
    void shouldRefuseWhatIsNotAnObject(String body) {
        refused(post(COMPLETIONS, body), 400, "invalid_type", null, "The request body must be a JSON object.");
    }

    @Test
    void shouldRefuseDeepNesting() {
        refused(
                post(COMPLETIONS, "{'a':" + "[".repeat(5_000) + "]".repeat(5_000) + "}"),
                400,
                "invalid_json",
                null,
                "nested too deep");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '~',
            value = {
                // parameter | its value | code | what the message says
                "max_tokens|'5'|invalid_type|'max_tokens' must be an integer, not a string.",
                "max_tokens|0|invalid_value|'max_tokens' must be at least 1, not 0.",
                "max_tokens|1.5|invalid_type|'max_tokens' must be an integer, not the number 1.5.",
                "max_tokens|1e30|invalid_value|'max_tokens' must be between 1 and 2147483647",
                "best_of|-1|invalid_value|'best_of' must be at least 0, not -1.",
                "max_completion_tokens|-1|invalid_value|'max_completion_tokens' must be at least 1, not -1.",
                "min_tokens|9|invalid_value|'min_tokens' (9) must not be greater than 'max_tokens' (5).",
                "temperature|-0.1|invalid_value|'temperature' must be between 0 and 100, not -0.1.",
                "temperature|'hot'|invalid_type|'temperature' must be a number, not a string.",
                "temperature|1e999|invalid_value|'temperature' must be between 0 and 100, not Infinity.",
                "temperature|'NaN'|invalid_type|'temperature' must be a number, not a string.",
                "top_p|1.01|invalid_value|'top_p' must be between 0 and 1, not 1.01.",
                "top_k|-2|invalid_value|'top_k' must be at least -1, not -2.",
                "min_p|2|invalid_value|'min_p' must be between 0 and 1, not 2.",
                "presence_penalty|3|invalid_value|'presence_penalty' must be between -2 and 2, not 3.",
                "frequency_penalty|-2.5|invalid_value|'frequency_penalty' must be between -2 and 2, not -2.5.",
                "repetition_penalty|0|invalid_value|'repetition_penalty' must be between 0.01 and 100, not 0.",
                "repetition_penalty|1e-40|invalid_value|'repetition_penalty' must be between 0.01 and 100, not 1.0E-40.",
                "repetition_penalty|[]|invalid_type|'repetition_penalty' must be a number, not a list.",
                "seed|1.5|invalid_type|'seed' must be an integer of at most 64 bits, not the number 1.5.",
                "seed|99999999999999999999|invalid_type|'seed' must be an integer of at most 64 bits",
                "n|0|invalid_value|'n' must be between 1 and 16, not 0.",
                "n|17|invalid_value|'n' must be between 1 and 16, not 17.",
                "logprobs|21|invalid_value|'logprobs' must be between 0 and 20, not 21.",
                "logprobs|true|invalid_type|'logprobs' must be an integer, not a boolean.",
                "stream|'yes'|invalid_type|'stream' must be a boolean, not a string.",
                "stream_options|{}|invalid_value|'stream_options' is only allowed when 'stream' is true.",
                "stop_token_ids|[2048]|invalid_value|'stop_token_ids[0]' must be between 0 and 2047, not 2048.",
                "stop_token_ids|7|invalid_type|'stop_token_ids' must be a list of integers, not the number 7.",
                "stop|[1]|invalid_type|'stop[0]' must be a string, not the number 1.",
                "stop|['']|invalid_value|A stop string must have between 1 and 1024 characters.",
                "stop|'x'|no_tokenizer|takes and gives token ids only",
                "logit_bias|{'x':1}|invalid_value|'logit_bias' names \"x\", which is not a token id below 2048.",
                "logit_bias|{'2048':1}|invalid_value|'logit_bias' names \"2048\"",
                "logit_bias|{'7':101}|invalid_value|'logit_bias.7' must be between -100 and 100, not 101.",
                "logit_bias|[]|invalid_type|'logit_bias' must be an object, not a list.",
                "model|7|invalid_type|'model' must be a string, not the number 7.",
                "model|''|missing_parameter|You must provide a 'model' parameter.",
                "prompt|'text'|no_tokenizer|takes and gives token ids only",
                "prompt|[]|invalid_value|'prompt' must not be empty.",
                "prompt|[null]|invalid_type|'prompt[0]' must be a string, a token id, or a list of token ids, not null.",
                "prompt|[[]]|invalid_value|'prompt[0]' has no tokens.",
                "prompt|[1,'a']|invalid_type|'prompt[1]' must be an integer, not a string.",
                "prompt|[[1],'a']|invalid_type|'prompt[1]' must be a list of token ids, not a string.",
                "prompt|[-1]|invalid_value|'prompt[0]' must be between 0 and 2047, not -1.",
                "prompt|[2048]|invalid_value|'prompt[0]' must be between 0 and 2047, not 2048.",
                "prompt|{}|invalid_type|'prompt' must be a string, a list of strings, or a list of token ids, not an object.",
                "prompt|null|missing_parameter|You must provide a 'prompt' parameter.",
            })
    void shouldNameTheParameterThatIsWrong(String parameter, String value, String code, String message) {
        Response response = post(COMPLETIONS, with("'max_tokens':5,'prompt':[1]", parameter, value));
        response.then()
                .statusCode(400)
                .body("error.code", equalTo(code))
                .body("error.message", containsString(message));
        assertTrue(String.valueOf(response.jsonPath().getString("error.param")).startsWith(parameter)
                || parameter.equals("max_completion_tokens"));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '~',
            value = {
                "tools|[{'type':'function'}]",
                "tool_choice|'required'",
                "functions|[{'name':'f'}]",
                "response_format|{'type':'json_object'}",
                "response_format|{'type':'json_schema'}",
                "audio|{'voice':'x'}",
                "modalities|['text','audio']",
                "prediction|{'type':'content'}",
                "reasoning_effort|'low'",
                "web_search_options|{'x':1}",
                "service_tier|'flex'",
                "store|true",
                "best_of|2",
                "suffix|'end'",
                "use_beam_search|true",
                "guided_json|{'a':1}",
                "structured_outputs|{'a':1}",
                "prompt_logprobs|1",
                "prompt_embeds|'AAAA'",
                "repetition_detection|{'min_count':3}",
                "thinking_token_budget|5",
                "kv_transfer_params|{'do_remote_decode':true}",
                "vllm_xargs|{'a':1}",
                "mm_processor_kwargs|{'num_crops':4}",
            })
    void shouldRefuseWhatItDoesNotDo(String parameter, String value) {
        boolean chat = List.of(
                        "mm_processor_kwargs",
                        "tools",
                        "tool_choice",
                        "functions",
                        "modalities",
                        "prediction",
                        "reasoning_effort",
                        "web_search_options")
                .contains(parameter);
        Response response = post(chat ? CHAT : COMPLETIONS, with("'prompt':[1]", parameter, value));
        refused(response, 400, "unsupported_parameter", parameter, parameter);
    }

    @Test
    void shouldRefuseParametersThatContradictOthers() {
        refused(
                post(COMPLETIONS, "{'model':'tokens','prompt':[1],'max_tokens':2,'n':2,'best_of':1}"),
                400,
                "invalid_value",
                "best_of",
                "'best_of' (1) must not be less than 'n' (2).");
        refused(
                post(COMPLETIONS, "{'model':'tokens','prompt':[1],'max_completion_tokens':2,'max_tokens':'many'}"),
                400,
                "invalid_type",
                "max_tokens",
                "'max_tokens' must be an integer, not a string.");
    }

    @Test
    void shouldRefuseToWriteATextWithoutItsSpecialTokens() {
        refused(
                post(COMPLETIONS, "{'model':'tokens','prompt':'a','max_tokens':2,'add_special_tokens':false}"),
                400,
                "unsupported_parameter",
                "add_special_tokens",
                "add_special_tokens");
        refused(
                post(
                        COMPLETIONS,
                        "{'model':'tokens','prompt':[1],'max_tokens':2,"
                                + "'skip_special_tokens':false,'spaces_between_special_tokens':false}"),
                400,
                "unsupported_parameter",
                "spaces_between_special_tokens",
                "spaces_between_special_tokens");
    }

    @Test
    void shouldNotMindParametersThatAskForNothing() {
        String nothing =
                "'tools':[],'functions':null,'response_format':{'type':'text'},'user':'u','metadata':{'a':'b'},"
                        + "'length_penalty':1.2,'early_stopping':true,'spaces_between_special_tokens':false,"
                        + "'add_special_tokens':false,'kv_transfer_params':{},'vllm_xargs':null,"
                        + "'store':false,'best_of':1,'suffix':null,'audio':null,'service_tier':'auto','logit_bias':{},"
                        + "'stop':null,'unknown_field':7,'prompt_cache_key':'k','safety_identifier':'s'";
        post(COMPLETIONS, "{'model':'tokens','prompt':[1],'max_tokens':2," + nothing + "}")
                .then()
                .statusCode(200);
    }

    @Test
    void shouldSayTheSentenceThatAgentsLookFor() {
        refused(
                post(COMPLETIONS, "{'model':'tokens','prompt':[1,2,3,4,5],'max_tokens':1020}"),
                400,
                "context_length_exceeded",
                "input_tokens",
                "This model's maximum context length is 1024 tokens. However, you requested 1020 output tokens and your"
                        + " prompt contains at least 5 input tokens, for a total of at least 1025 tokens. Please reduce"
                        + " the length of the input prompt or the number of requested output tokens.");
        refused(
                post(COMPLETIONS, "{'model':'tokens','prompt':[" + "1,".repeat(1023) + "1]}"),
                400,
                "context_length_exceeded",
                "input_tokens",
                "for a total of at least 1025 tokens.");
        post(COMPLETIONS, "{'model':'tokens','prompt':[" + "1,".repeat(1022) + "1]}")
                .then()
                .statusCode(200)
                .body("usage.completion_tokens", equalTo(1));
    }

    @Test
    void shouldNotAskToComeAgainForWhatNeverFits() {
        Response response = post(COMPLETIONS, "{'model':'tokens','prompt':[1],'max_tokens':2,'n':9}");
        refused(response, 400, "request_too_large", null, "asks for 9 answers, but the server takes at most 8 at once");
        response.then().header("Retry-After", nullValue());
        post(COMPLETIONS, "{'model':'tokens','prompt':[1],'max_tokens':2,'n':8}")
                .then()
                .statusCode(200);
    }

    @Test
    void shouldNotKnowOtherModels() {
        refused(
                post(COMPLETIONS, "{'model':'ghost','prompt':[1]}"),
                404,
                "model_not_found",
                "model",
                "The model `ghost` does not exist.");
        refused(
                post(COMPLETIONS, "{'model':'" + "x".repeat(5_000) + "','prompt':[1]}"),
                404,
                "model_not_found",
                "model",
                "The model `" + "x".repeat(100) + "...` does not exist.");
        refused(
                RestAssured.get("/v1/models/ghost"),
                404,
                "model_not_found",
                "model",
                "The model `ghost` does not exist.");
    }

    @Test
    void shouldSayWhatIsWrongWithAnAdapter() {
        refused(
                post(COMPLETIONS, "{'model':'broken','prompt':[1]}"),
                422,
                "adapter_invalid",
                "model",
                "The adapter `broken` cannot be served: ");
        assertTrue(post(COMPLETIONS, "{'model':'broken','prompt':[1]}")
                .jsonPath()
                .getString("error.message")
                .contains("adapter_model.safetensors"));
    }

    /** A load that fails is a clean refusal, streamed or not: the status waits for the first token. */
    @Test
    void shouldSayWhyAnAdapterCouldNotBeLoaded() throws IOException {
        Path weights = TokensProfile.ROOT.resolve("adapters/fragile/adapter_model.safetensors");
        byte[] whole = Files.readAllBytes(weights);
        FileTime time = Files.getLastModifiedTime(weights);
        Files.write(weights, Arrays.copyOf(whole, whole.length / 2));
        for (boolean stream : new boolean[] {false, true}) {
            refused(
                    post(COMPLETIONS, "{'model':'fragile','prompt':[1],'stream':" + stream + "}"),
                    422,
                    "adapter_failed",
                    "model",
                    "The adapter could not be loaded: ");
        }
        Files.write(weights, whole);
        Files.setLastModifiedTime(weights, time);
        post(COMPLETIONS, "{'model':'fragile','prompt':[1],'max_tokens':2}")
                .then()
                .statusCode(200);
    }

    @Test
    void shouldHaveNoAdministrationWithoutAKey() {
        for (String header : List.of("Bearer ", "Bearer null", "Bearer x")) {
            Response response = given().contentType(ContentType.JSON)
                    .header("Authorization", header)
                    .body("{\"lora_name\":\"pirate\"}")
                    .post("/v1/unload_lora_adapter");
            refused(response, 403, "administration_off", null, "chorale.adapters.admin-key is not set");
        }
    }

    @Test
    void shouldRefuseChatWithoutATokenizer() {
        refused(
                post(CHAT, "{'model':'tokens','messages':[{'role':'user','content':'Hi'}]}"),
                400,
                "no_tokenizer",
                "messages",
                "This model was loaded without tokenizer files");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '~',
            value = {
                "null|missing_parameter|messages",
                "[]|invalid_value|messages",
                "'hi'|invalid_type|messages",
                "['hi']|invalid_type|messages[0]",
                "[{'content':'x'}]|missing_parameter|messages[0].role",
                "[{'role':'king','content':'x'}]|invalid_value|messages[0].role",
                "[{'role':'tool','content':'x'}]|unsupported_parameter|messages[0].role",
                "[{'role':'user'}]|missing_parameter|messages[0].content",
                "[{'role':'user','content':7}]|invalid_type|messages[0].content",
                "[{'role':'user','content':[{'type':'image_url'}]}]|unsupported_parameter|messages[0].content[0].type",
                "[{'role':'user','content':[{'text':'x'}]}]|missing_parameter|messages[0].content[0].type",
                "[{'role':'user','content':[{'type':'text'}]}]|missing_parameter|messages[0].content[0].text",
                "[{'role':'assistant','content':'x','tool_calls':[{}]}]|unsupported_parameter|messages[0].tool_calls",
            })
    void shouldNameTheMessageThatIsWrong(String messages, String code, String param) {
        Response response = post(CHAT, "{'model':'tokens','messages':" + messages + "}");
        response.then().statusCode(400).body("error.code", equalTo(code)).body("error.param", equalTo(param));
    }

    @Test
    void shouldNotMindEmptyFieldsOfAnEarlierAnswer() {
        refused(
                post(
                        CHAT,
                        "{'model':'tokens','messages':[{'role':'assistant','content':'x','refusal':'','tool_calls':[]}]}"),
                400,
                "no_tokenizer",
                "messages",
                "token ids");
        post(COMPLETIONS, "{'model':'tokens','prompt':[1],'max_tokens':2,'stop':''}")
                .then()
                .statusCode(200);
    }

    @Test
    void shouldSpeakOpenAiEverywhere() {
        refused(
                given().accept("text/html").get("/v1/models"),
                406,
                "not_acceptable",
                null,
                "This server answers with JSON: Accept: application/json.");
        refused(RestAssured.get("/v1/nothing"), 404, "not_found", null, "There is nothing at /v1/nothing.");
        refused(RestAssured.get(COMPLETIONS), 405, "method_not_allowed", null, "not allowed at " + COMPLETIONS);
        assertEquals("OPTIONS, POST", RestAssured.get(COMPLETIONS).header("Allow"));
        for (String path : List.of("/v1/models", "/v1/models/a/b", "/v1/load", "/v1/adapters", "/version")) {
            Response response = RestAssured.put(path);
            assertEquals(405, response.statusCode(), path);
            assertEquals("GET, HEAD, OPTIONS", response.header("Allow"), path);
            response = RestAssured.options(path);
            assertEquals(200, response.statusCode(), path);
            assertEquals("GET, HEAD, OPTIONS", response.header("Allow"), path);
        }
        assertEquals("OPTIONS, POST", RestAssured.options(COMPLETIONS).header("Allow"));
        assertEquals(
                "DELETE, GET, HEAD, OPTIONS, PUT",
                RestAssured.patch("/v1/adapters/pirate").header("Allow"));
        assertEquals("OPTIONS, POST", RestAssured.get("/v1/load_lora_adapter").header("Allow"));
        refused(
                given().contentType(ContentType.TEXT).body("{}").post(COMPLETIONS),
                415,
                "unsupported_media_type",
                null,
                "application/json");
    }

    @ParameterizedTest
    @CsvSource({"gzip,415", "br,415", "'gzip, identity',415", "identity,200", "Identity,200"})
    void shouldSayThatItTakesNoCompressedBody(String encoding, int status) {
        Response response = given().contentType(ContentType.JSON)
                .header("Content-Encoding", encoding)
                .body("{\"model\":\"tokens\",\"prompt\":[1],\"max_tokens\":1}")
                .post(COMPLETIONS);
        assertEquals(status, response.statusCode());
        if (status == 415) {
            refused(response, 415, "unsupported_media_type", null, "a Content-Encoding is not taken");
        }
    }

    @Test
    void shouldBoundTheBody() throws IOException {
        String tooLong = "{\"x\":\"" + "a".repeat(TokensProfile.BODY_BYTES_MAX) + "\"}";
        refused(post(COMPLETIONS, tooLong), 413, "request_too_large", null, "larger than the 65536 bytes allowed");
        // Without a length before it.
        String chunks = Integer.toHexString(tooLong.length()) + "\r\n" + tooLong + "\r\n0\r\n\r\n";
        try (RawHttp http = RawHttp.send(
                "POST /v1/completions HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
                        + "Transfer-Encoding: chunked\r\n\r\n",
                chunks.getBytes(StandardCharsets.US_ASCII))) {
            assertEquals(413, http.status);
        }
        // With a length that says it before a byte has come.
        try (RawHttp http = RawHttp.send(
                "POST /v1/completions HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n" + "Content-Length: "
                        + (TokensProfile.BODY_BYTES_MAX + 1) + "\r\n\r\n",
                new byte[0])) {
            assertEquals(413, http.status);
        }
    }

    @Test
    void shouldEchoTheRequestId() {
        given().header("x-request-id", "abc-123").get("/v1/models").then().header("x-request-id", "abc-123");
        given().header("x-request-id", "abc-124")
                .contentType(ContentType.JSON)
                .body("{}")
                .post(COMPLETIONS)
                .then()
                .statusCode(400)
                .header("x-request-id", "abc-124");
        given().header("x-request-id", "no good")
                .get("/v1/models")
                .then()
                .header("x-request-id", not(equalTo("no good")));
    }

    @Test
    void shouldGoOnServing() {
        post(COMPLETIONS, "{'model':'tokens','prompt':[1],'max_tokens':2}")
                .then()
                .statusCode(200);
    }

    private static void refused(Response response, int status, String code, @Nullable String param, String message) {
        response.then()
                .statusCode(status)
                .contentType(ContentType.JSON)
                .body("error.code", equalTo(code))
                .body("error.param", param == null ? nullValue() : equalTo(param))
                .body("error.message", containsString(message));
    }

    /** A request to the model with these fields, one of them replaced or added. */
    private static String with(String fields, String parameter, String value) {
        StringBuilder body = new StringBuilder("{");
        for (String field : ("'model':'tokens'," + fields).split(",(?=')")) {
            if (!field.startsWith("'" + parameter + "'")) {
                body.append(field).append(',');
            }
        }
        return body.append("'")
                .append(parameter)
                .append("':")
                .append(value)
                .append('}')
                .toString();
    }

    private static Response post(String path, String json) {
        return given().contentType(ContentType.JSON)
                .body(json.replace('\'', '"'))
                .post(path);
    }
}
