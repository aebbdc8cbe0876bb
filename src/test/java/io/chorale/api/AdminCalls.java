package io.chorale.api;

import static io.restassured.RestAssured.given;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.restassured.RestAssured;
import io.restassured.http.ContentType;
import io.restassured.response.Response;
import io.restassured.specification.RequestSpecification;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.BooleanSupplier;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/** Calls of an administrator to a server with the {@link AdminProfile}, and what they are made of. */
final class AdminCalls {
    static final Path FABLE = Path.of("models/fable/adapters");

    private AdminCalls() {}

    static RequestSpecification admin() {
        return given().header("Authorization", "Bearer " + AdminProfile.KEY);
    }

    static RequestSpecification adminJson(String body) {
        return admin().contentType(ContentType.JSON).body(body.replace('\'', '"'));
    }

    static Response put(String name, Path source) {
        return adminJson("{'source':'" + source + "'}").put("/v1/adapters/" + name);
    }

    static Response upload(String name, byte[] archive) {
        return admin().contentType("application/zip").body(archive).put("/v1/adapters/" + name);
    }

    static Response ask(String model, String more) {
        return given().contentType(ContentType.JSON)
                .body(("{'model':'" + model + "','prompt':[1,2],'max_tokens':3,'temperature':0" + more + "}")
                        .replace('\'', '"'))
                .post("/v1/completions");
    }

    static byte[] zip(String adapter, String folder, String alpha) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
            String config = Files.readString(FABLE.resolve(adapter).resolve("adapter_config.json"));
            zip.putNextEntry(new ZipEntry(folder + "adapter_config.json"));
            zip.write(config.replace("\"lora_alpha\": 32", "\"lora_alpha\": " + alpha)
                    .getBytes(StandardCharsets.UTF_8));
            zip.putNextEntry(new ZipEntry(folder + "adapter_model.safetensors"));
            zip.write(Files.readAllBytes(FABLE.resolve(adapter).resolve("adapter_model.safetensors")));
            zip.putNextEntry(new ZipEntry("../../../etc/passwd"));
            zip.write(1);
        }
        return bytes.toByteArray();
    }

    static void await(String what, BooleanSupplier condition) throws InterruptedException {
        for (int i = 0; !condition.getAsBoolean(); i++) {
            assertTrue(i < 2_000, what);
            Thread.sleep(10);
        }
    }

    static String place(String name) {
        return String.valueOf(RestAssured.get("/v1/adapters/" + name).jsonPath().getString("place"));
    }

    static int hostAdapters() {
        return RestAssured.get("/v1/adapters").jsonPath().getInt("host.adapters");
    }

    static String version(String name) {
        return String.valueOf(RestAssured.get("/v1/adapters/" + name).jsonPath().getString("version"));
    }
}
