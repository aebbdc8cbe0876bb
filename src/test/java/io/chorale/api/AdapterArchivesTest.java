package io.chorale.api;

import static io.chorale.api.AdminCalls.FABLE;
import static io.chorale.api.AdminCalls.admin;
import static io.chorale.api.AdminCalls.ask;
import static io.chorale.api.AdminCalls.upload;
import static io.chorale.api.AdminCalls.zip;
import static org.hamcrest.Matchers.containsString;
import static org.hamcrest.Matchers.equalTo;
import static org.hamcrest.Matchers.hasSize;
import static org.hamcrest.Matchers.not;
import static org.hamcrest.Matchers.startsWith;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.quarkus.test.junit.QuarkusTest;
import io.quarkus.test.junit.TestProfile;
import io.restassured.RestAssured;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Adapters that come as archives. */
@QuarkusTest
@TestProfile(AdminProfile.class)
class AdapterArchivesTest {
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

    /** As {@code curl -T} sends it. */
    @Test
    void shouldTakeAnArchiveOfNoType() throws Exception {
        HttpRequest request = HttpRequest.newBuilder(
                        URI.create("http://localhost:" + RestAssured.port + "/v1/adapters/untyped"))
                .header("Authorization", "Bearer " + AdminProfile.KEY)
                .PUT(HttpRequest.BodyPublishers.ofByteArray(zip("shout", "", "32")))
                .build();
        try (HttpClient client = HttpClient.newHttpClient()) {
            HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            assertEquals(201, answer.statusCode(), answer::body);
        }
    }

    /** Paths of more than a hundred characters have a header of their own, of one kind or another. */
    @ParameterizedTest
    @ValueSource(strings = {"gnu", "pax", "ustar"})
    void shouldTakeTarArchivesWithLongPaths(String format) throws Exception {
        Path tar = AdminProfile.ROOT.resolve("long-" + format + ".tar");
        String folder = "s,^,%s/%s/,".formatted("a".repeat(70), "b".repeat(70));
        Process made = new ProcessBuilder(
                        "tar",
                        "cf",
                        tar.toString(),
                        "--format=" + format,
                        "--transform",
                        folder,
                        "-C",
                        FABLE.toString(),
                        "shout/adapter_config.json",
                        "shout/adapter_model.safetensors")
                .start();
        assertEquals(0, made.waitFor());
        admin().contentType("application/x-tar")
                .body(Files.readAllBytes(tar))
                .put("/v1/adapters/long-" + format)
                .then()
                .statusCode(201);
    }

    /** What is wrong is said of the file's name, not of where the server keeps it. */
    @Test
    void shouldNotTellItsFolders() throws Exception {
        upload("bad", zip("shout", "", "1e30"))
                .then()
                .statusCode(422)
                .body("error.problems[0]", startsWith("adapter_config.json: 'lora_alpha' gives model.layers.0."))
                .body("error.message", not(containsString("incoming")));
    }

    @Test
    void shouldSayHowASourceIsSent() {
        admin().contentType("application/x-www-form-urlencoded")
                .body("{\"source\":\"moral\"}")
                .put("/v1/adapters/bad")
                .then()
                .statusCode(422)
                .body("error.problems[0]", containsString("or a source as Content-Type: application/json"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"zip", "application/", "/", "a/b/c;;="})
    void shouldRefuseWhatIsNoMediaType(String type) throws Exception {
        String head = "PUT /v1/adapters/bad HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + AdminProfile.KEY
                + "\r\nContent-Type: " + type + "\r\nContent-Length: 2\r\n\r\n";
        try (RawHttp answer = RawHttp.send(head, new byte[] {'P', 'K'})) {
            assertEquals(415, answer.status);
        }
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
}
