package io.chorale.api;

import static io.restassured.RestAssured.given;
import static org.hamcrest.Matchers.containsString;
import static org.hamcrest.Matchers.equalTo;
import static org.hamcrest.Matchers.greaterThan;
import static org.hamcrest.Matchers.hasItem;
import static org.hamcrest.Matchers.hasItems;
import static org.hamcrest.Matchers.hasSize;
import static org.hamcrest.Matchers.matchesPattern;
import static org.hamcrest.Matchers.not;
import static org.hamcrest.Matchers.notNullValue;
import static org.hamcrest.Matchers.nullValue;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.adapter.source.MockHub;
import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.RestAssured;
import io.restassured.http.ContentType;
import io.restassured.response.Response;
import io.restassured.specification.RequestSpecification;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.function.BooleanSupplier;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.eclipse.microprofile.config.ConfigProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What an administrator may do to adapters while the server runs, and every refusal. */
@QuarkusTest
@TestProfile(AdminProfile.class)
class AdaptersTest {
    private static final Path FABLE = Path.of("models/fable/adapters");

    private static RequestSpecification admin() {
        return given().header("Authorization", "Bearer " + AdminProfile.KEY);
    }

    private static RequestSpecification adminJson(String body) {
        return admin().contentType(ContentType.JSON).body(body.replace('\'', '"'));
    }

    private static Response put(String name, Path source) {
        return adminJson("{'source':'" + source + "'}").put("/v1/adapters/" + name);
    }

    private static Response upload(String name, byte[] archive) {
        return admin().contentType("application/zip").body(archive).put("/v1/adapters/" + name);
    }

    private static Response ask(String model, String more) {
        return given().contentType(ContentType.JSON)
                .body(("{'model':'" + model + "','prompt':[1,2],'max_tokens':3,'temperature':0" + more + "}")
                        .replace('\'', '"'))
                .post("/v1/completions");
    }

    private static byte[] zip(String adapter, String folder, String alpha) throws IOException {
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

    private static void await(String what, BooleanSupplier condition) throws InterruptedException {
        for (int i = 0; !condition.getAsBoolean(); i++) {
            assertTrue(i < 2_000, what);
            Thread.sleep(10);
        }
    }

    // ---- who may --------------------------------------------------------------------------------------------------

    @ParameterizedTest
    @CsvSource({
        "PUT,/v1/adapters/x",
        "DELETE,/v1/adapters/pirate",
        "POST,/v1/adapters/pirate/pin",
        "POST,/v1/adapters/pirate/unpin",
        "POST,/v1/adapters/pirate/prefetch",
        "POST,/v1/adapters/pirate/rollback",
        "POST,/v1/adapters/validate",
        "PUT,/v1/aliases/x",
        "DELETE,/v1/aliases/x",
        "POST,/v1/load_lora_adapter",
        "POST,/v1/unload_lora_adapter",
    })
    void shouldLetOnlyAdministratorsChangeAnything(String method, String path) {
        for (String header : new String[] {"", "Bearer wrong", "Bearer ", "Basic c2VjcmV0LWtleQ==", AdminProfile.KEY}) {
            RequestSpecification request = given().contentType(ContentType.JSON).body("{}");
            (header.isEmpty() ? request : request.header("Authorization", header))
                    .request(method, path)
                    .then()
                    .statusCode(401)
                    .body("error.code", equalTo("invalid_api_key"));
        }
    }

    @Test
    void shouldLetEverybodyLook() {
        RestAssured.get("/v1/adapters")
                .then()
                .statusCode(200)
                .body("data.name", hasItem("pirate"))
                .body("data.find { it.name == 'pirate' }.rank", equalTo(16))
                .body("data.find { it.name == 'pirate' }.state", equalTo("usable"))
                .body("host.bytes_max", equalTo(3 << 20))
                .body("total", greaterThan(0));
        RestAssured.get("/v1/adapters/pirate").then().statusCode(200).body("base_model", equalTo("fable"));
        RestAssured.get("/v1/adapters/pirate")
                .then()
                .body(
                        "warnings[0]",
                        containsString(
                                "'base_model_name_or_path' is \"fable\", but the base model served is \"base\""));
        RestAssured.get("/v1/adapters/nobody").then().statusCode(404).body("error.code", equalTo("adapter_not_found"));
        RestAssured.get("/v1/adapters?limit=0").then().statusCode(400).body("error.param", equalTo("limit"));
        RestAssured.get("/v1/adapters?limit=1&after=pirata")
                .then()
                .body("data.name", equalTo(java.util.List.of("pirate")));
    }

    // ---- coming and going -----------------------------------------------------------------------------------------

    @Test
    void shouldLoadReplaceRollBackAndRemove() throws Exception {
        put("tenant", AdminProfile.MORE.resolve("moral")).then().statusCode(201).body("version", notNullValue());
        String first = RestAssured.get("/v1/adapters/tenant").jsonPath().getString("version");
        ask("tenant", "").then().statusCode(200).header("X-Adapter", "tenant@" + first);
        put("tenant", AdminProfile.MORE.resolve("moral")).then().statusCode(200).body("versions", hasSize(1));
        put("tenant", Path.of("robot")).then().statusCode(200).body("versions", hasSize(2));
        String second = RestAssured.get("/v1/adapters/tenant").jsonPath().getString("version");
        assertNotEquals(first, second);
        ask("tenant", "").then().statusCode(200).header("X-Adapter", "tenant@" + second);
        ask("tenant@" + first, "").then().statusCode(200).header("X-Adapter", "tenant@" + first);
        adminJson("{}")
                .post("/v1/adapters/tenant/rollback")
                .then()
                .statusCode(200)
                .body("version", equalTo(first));
        adminJson("{}")
                .post("/v1/adapters/tenant/rollback")
                .then()
                .statusCode(409)
                .body("error.message", containsString("has no earlier version"));
        adminJson("{'version':'" + second + "'}")
                .post("/v1/adapters/tenant/rollback")
                .then()
                .statusCode(200)
                .body("version", equalTo(second));
        adminJson("{'version':'0000'}")
                .post("/v1/adapters/tenant/rollback")
                .then()
                .statusCode(404);
        admin().delete("/v1/adapters/tenant").then().statusCode(204);
        admin().delete("/v1/adapters/tenant").then().statusCode(404);
        ask("tenant", "").then().statusCode(404).body("error.code", equalTo("model_not_found"));
    }

    @Test
    void shouldTakeArchives() throws Exception {
        upload("posted", zip("shout", "", "32")).then().statusCode(201).body("place", equalTo("disk"));
        upload("posted", zip("shout", "some/folder/", "32"))
                .then()
                .statusCode(200)
                .body("versions", hasSize(1));
        upload("posted", zip("shout", "", "16")).then().statusCode(200).body("versions", hasSize(2));
        ask("posted", "").then().statusCode(200);
        assertTrue(Files.isDirectory(AdminProfile.ROOT.resolve("state/content")));
        assertEquals(0, Files.list(AdminProfile.ROOT.resolve("state/incoming")).count(), "nothing is left behind");
    }

    @Test
    void shouldTakeTarArchives() throws Exception {
        Path tar = AdminProfile.ROOT.resolve("shout.tar.gz");
        Process made = new ProcessBuilder("tar", "czf", tar.toString(), "-C", FABLE.toString(), "shout").start();
        assertEquals(0, made.waitFor());
        admin().contentType("application/gzip")
                .body(Files.readAllBytes(tar))
                .put("/v1/adapters/tarred")
                .then()
                .statusCode(201);
    }

    @Test
    void shouldRefuseWhatIsNoArchiveOfAnAdapter() throws Exception {
        upload("bad", "not an archive".getBytes(StandardCharsets.UTF_8))
                .then()
                .statusCode(422)
                .body("error.problems[0]", containsString("is not an archive"));
        upload("bad", new byte[0]).then().statusCode(422);
        byte[] whole = zip("shout", "", "32");
        upload("bad", java.util.Arrays.copyOf(whole, whole.length / 2)).then().statusCode(422);
        upload("bad", new byte[(int) AdminProfile.UPLOAD_BYTES_MAX + 1]).then().statusCode(413);
        byte[] large = largeZip();
        upload("bad", large)
                .then()
                .statusCode(413)
                .body("error.message", containsString("larger than the 2097152 bytes"));
        RestAssured.get("/v1/adapters/bad").then().statusCode(404);
        assertEquals(0, Files.list(AdminProfile.ROOT.resolve("state/incoming")).count(), "nothing is left behind");
    }

    /** A small file that would unpack to a large one. */
    private static byte[] largeZip() throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
            zip.putNextEntry(new ZipEntry("adapter_model.safetensors"));
            zip.write(new byte[4 * (int) AdminProfile.UPLOAD_BYTES_MAX]);
        }
        return bytes.toByteArray();
    }

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
            })
    void shouldRefuseSourcesByTheirFault(String body, int status, String code) {
        adminJson(body).put("/v1/adapters/refused").then().statusCode(status).body("error.code", equalTo(code));
        adminJson(body).post("/v1/adapters/validate").then().statusCode(status).body("error.code", equalTo(code));
        RestAssured.get("/v1/adapters/refused").then().statusCode(404);
    }

    @Test
    void shouldRefuseNamesThatAreTakenOrNoNames() {
        put("base", Path.of("moral")).then().statusCode(409);
        put("a b", Path.of("moral")).then().statusCode(400);
        put("-a", Path.of("moral")).then().statusCode(400);
        put("a".repeat(129), Path.of("moral")).then().statusCode(400);
    }

    // ---- other machines -------------------------------------------------------------------------------------------

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

    // ---- where adapters are, for gateways -------------------------------------------------------------------------

    @Test
    void shouldTellGatewaysWhereAdaptersAre() throws Exception {
        put("resident", Path.of("moral")).then().statusCode(201);
        put("absent", Path.of("moral")).then().statusCode(201);
        ask("resident", "").then().statusCode(200);
        await("it is on the device", () -> place("resident").equals("device"));
        String metrics = RestAssured.get("/metrics").asString();
        assertTrue(
                metrics.contains("vllm:lora_adapter_loaded{model_name=\"base\",engine=\"0\",adapter_name=\"resident\","
                        + "level=\"gpu\",pinned=\"false\",rank=\"4\"} 1"),
                metrics);
        assertTrue(!metrics.contains("adapter_name=\"absent\""), metrics);
        assertTrue(
                metrics.matches(
                        "(?s).*vllm:lora_requests_info\\{[^}]*max_lora=\"256\",running_lora_adapters=\"[^\"]*resident"
                                + "[^\"]*\",waiting_lora_adapters=\"\"\\} [0-9.E]+\n.*"),
                metrics);
        assertTrue(metrics.contains("vllm:num_gpu_loaded_lora_adapters{model_name=\"base\",engine=\"0\"}"), metrics);
        assertTrue(metrics.contains("vllm:max_gpu_lora_adapters{model_name=\"base\",engine=\"0\"} 256"), metrics);
        admin().delete("/v1/adapters/resident").then().statusCode(204);
        await(
                "it is on no device any more",
                () -> !RestAssured.get("/metrics").asString().contains("adapter_name=\"resident\""));
    }

    // ---- the doctor -----------------------------------------------------------------------------------------------

    @Test
    void shouldValidateWithoutServing() throws Exception {
        adminJson("{'source':'moral'}")
                .post("/v1/adapters/validate")
                .then()
                .statusCode(200)
                .body("valid", equalTo(true))
                .body("rank", equalTo(4))
                .body("warnings[0]", containsString("but the base model served is \"base\""))
                .body("digest", matchesPattern("[0-9a-f]{64}"));
        admin().contentType("application/zip")
                .body(zip("shout", "", "0"))
                .post("/v1/adapters/validate")
                .then()
                .statusCode(422)
                .body("error.code", equalTo("adapter_invalid"))
                .body("error.problems[0]", containsString("the adapter changes nothing"));
        Path two = Files.createDirectories(AdminProfile.MORE.resolve("two-faults"));
        Files.writeString(
                two.resolve("adapter_config.json"),
                Files.readString(FABLE.resolve("moral/adapter_config.json"))
                        .replace("\"bias\": \"none\"", "\"bias\": \"all\"")
                        .replace("\"use_dora\": false", "\"use_dora\": true"));
        Files.copy(
                FABLE.resolve("moral/adapter_model.safetensors"),
                two.resolve("adapter_model.safetensors"),
                java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        put("two", two)
                .then()
                .statusCode(422)
                .body("error.problems", hasItems(containsString("'bias'"), containsString("use_dora is set, but")));
        RestAssured.get("/v1/adapters/two").then().statusCode(404);
    }

    // ---- staying --------------------------------------------------------------------------------------------------

    @Test
    void shouldPinPrefetchAndSayWhereAdaptersAre() throws Exception {
        int before = hostAdapters();
        put("pinned", Path.of("moral")).then().statusCode(201);
        admin().post("/v1/adapters/pinned/pin").then().statusCode(200).body("pinned", equalTo(true));
        await("it comes into host memory", () -> place("pinned").equals("host"));
        put("second", Path.of("robot")).then().statusCode(201);
        admin().post("/v1/adapters/second/pin").then().statusCode(200);
        put("third", Path.of("shout")).then().statusCode(201);
        admin().post("/v1/adapters/third/pin").then().statusCode(409).body("error.code", equalTo("no_room"));
        admin().post("/v1/adapters/third/prefetch").then().statusCode(202);
        await("it comes into host memory", () -> place("third").equals("host"));
        ask("pinned", "").then().statusCode(200);
        await("it stays on the device", () -> place("pinned").equals("device"));
        RestAssured.get("/v1/adapters/pinned")
                .then()
                .body("requests", equalTo(1))
                .body("idle_seconds", notNullValue());
        admin().post("/v1/adapters/pinned/unpin").then().statusCode(200).body("pinned", equalTo(false));
        admin().post("/v1/adapters/nobody/pin").then().statusCode(404);
        admin().post("/v1/adapters/nobody/unpin").then().statusCode(404);
        admin().post("/v1/adapters/nobody/prefetch").then().statusCode(404);
        for (String name : new String[] {"pinned", "second", "third"}) {
            admin().delete("/v1/adapters/" + name).then().statusCode(204);
        }
        await("nothing of them stays in host memory", () -> hostAdapters() <= before);
        RestAssured.get("/v1/adapters").then().body("host.bytes_pinned", equalTo(0));
    }

    private static String place(String name) {
        return String.valueOf(RestAssured.get("/v1/adapters/" + name).jsonPath().getString("place"));
    }

    private static int hostAdapters() {
        return RestAssured.get("/v1/adapters").jsonPath().getInt("host.adapters");
    }

    // ---- aliases --------------------------------------------------------------------------------------------------

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

    // ---- the folder -----------------------------------------------------------------------------------------------

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

    private static String version(String name) {
        return String.valueOf(RestAssured.get("/v1/adapters/" + name).jsonPath().getString("version"));
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

    // ---- vLLM's endpoints -----------------------------------------------------------------------------------------

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
