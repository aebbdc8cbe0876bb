package io.chorale.api;

import static io.chorale.api.AdminCalls.adminJson;
import static io.chorale.api.AdminCalls.ask;
import static org.hamcrest.Matchers.equalTo;
import static org.hamcrest.Matchers.nullValue;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.response.Response;
import java.io.IOException;
import java.nio.file.Files;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** vLLM's two endpoints, to the letter. */
@QuarkusTest
@TestProfile(AdminProfile.class)
class LoraAdminTest {
    @Test
    void shouldLoadAndUnloadAsVllmDoes() {
        String load = "{'lora_name':'vllm','lora_path':'" + AdminProfile.MORE.resolve("moral") + "'}";
        Response loaded = adminJson(load).post("/v1/load_lora_adapter");
        assertEquals(200, loaded.statusCode());
        assertEquals("Success: LoRA adapter 'vllm' added successfully.", loaded.asString());
        assertTrue(loaded.contentType().toLowerCase(Locale.ROOT).startsWith("text/plain"));
        ask("vllm", "").then().statusCode(200);
        adminJson(load)
                .post("/v1/load_lora_adapter")
                .then()
                .statusCode(400)
                .body("error.type", equalTo("InvalidUserInput"))
                .body("error.code", equalTo(400))
                .body("error.param", nullValue())
                .body(
                        "error.message",
                        equalTo("The lora adapter 'vllm' has already been loaded. If you want to load the adapter in"
                                + " place, set 'load_inplace' to True."));
        adminJson(load.replace("}", ",'load_inplace':true}"))
                .post("/v1/load_lora_adapter")
                .then()
                .statusCode(200);
        Response unloaded = adminJson("{'lora_name':'vllm','lora_int_id':1}").post("/v1/unload_lora_adapter");
        assertEquals(200, unloaded.statusCode());
        assertEquals("Success: LoRA adapter 'vllm' removed successfully.", unloaded.asString());
        ask("vllm", "").then().statusCode(404);
        adminJson("{'lora_name':'vllm'}")
                .post("/v1/unload_lora_adapter")
                .then()
                .statusCode(404)
                .body("error.type", equalTo("NotFoundError"))
                .body("error.message", equalTo("The lora adapter 'vllm' cannot be found."));
        adminJson("{}").post("/v1/unload_lora_adapter").then().statusCode(400);
    }

    @ParameterizedTest
    @ValueSource(strings = {"{}", "{'lora_name':'a'}", "{'lora_path':'moral'}", "{'lora_name':'','lora_path':''}"})
    void shouldWantBothOfVllmsParameters(String body) {
        adminJson(body)
                .post("/v1/load_lora_adapter")
                .then()
                .statusCode(400)
                .body("error.type", equalTo("InvalidUserInput"))
                .body("error.message", equalTo("Both 'lora_name' and 'lora_path' must be provided."));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {"ghost|404|NotFoundError", "/etc|403|InvalidUserInput", "two-empty|422|InvalidUserInput"})
    void shouldRefusePathsAsVllmDoes(String path, int status, String type) throws IOException {
        Files.createDirectories(AdminProfile.MORE.resolve("two-empty"));
        adminJson("{'lora_name':'vllm-bad','lora_path':'" + path + "'}")
                .post("/v1/load_lora_adapter")
                .then()
                .statusCode(status)
                .body("error.type", equalTo(type))
                .body("error.code", equalTo(status));
    }
}
