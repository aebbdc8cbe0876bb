package io.chorale.adapter.source;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.adapter.AdapterRefusal;
import io.chorale.adapter.AdapterRefusal.Kind;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What is fetched from where, with which rights, and that it is whole. */
class RemoteSourcesTest {
    private static final Path MORAL = Path.of("models/fable/adapters/moral");
    private static final long BYTES_MAX = 10 << 20;

    private final MockHub hub = new MockHub();

    @TempDir
    Path into;

    RemoteSourcesTest() throws IOException {}

    @AfterEach
    void close() {
        hub.close();
    }

    private RemoteSources sources(String... redirects) {
        SourceRules rules = new SourceRules(
                List.of("hf://", hub.url() + "/files/", "s3://bucket/"),
                URI.create(hub.url()),
                Optional.of("hub-token"),
                List.of(redirects),
                Optional.of(URI.create(hub.url())),
                "eu-west-1",
                Optional.of("AKIDEXAMPLE"),
                Optional.of("secret"),
                Duration.ofSeconds(2),
                Duration.ofMillis(300));
        return new RemoteSources(
                new SourceClient(rules, source -> RemoteModelsTest::threeTimes, InstantSource.fixed(Instant.EPOCH)));
    }

    private void fetch(RemoteSources sources, String source, String... sha256) throws Exception {
        sources.fetch(source, List.of(sha256).stream().findFirst(), into, BYTES_MAX);
    }

    private AdapterRefusal refused(Kind kind, String source, String... sha256) {
        AdapterRefusal refusal = assertThrows(AdapterRefusal.class, () -> fetch(sources(), source, sha256));
        assertEquals(kind, refusal.kind(), refusal::message);
        return refusal;
    }

    private void assertIsMoral() throws IOException {
        for (String file : List.of("adapter_config.json", "adapter_model.safetensors")) {
            assertArrayEquals(Files.readAllBytes(MORAL.resolve(file)), Files.readAllBytes(into.resolve(file)));
        }
        assertEquals(2, Files.list(into).count());
    }

    @Test
    void theHubGivesTheTwoFilesOfARevision() throws Exception {
        fetch(sources(), "hf://good/moral@v1.2");
        assertIsMoral();
        assertEquals(
                "/good/moral/resolve/v1.2/adapter_config.json",
                hub.seen.getFirst().path());
        assertTrue(hub.seen.stream().allMatch(seen -> seen.authorization().equals("Bearer hub-token")));
        fetch(sources(), "hf://good/moral");
        assertTrue(hub.seen.getLast().path().contains("/resolve/main/"));
    }

    @Test
    void whatBreaksOffIsTakenUpWhereItStopped() throws Exception {
        fetch(sources(), "hf://breaks/moral");
        assertIsMoral();
        long half = Files.size(MORAL.resolve("adapter_model.safetensors")) / 2;
        assertTrue(hub.seen.stream().anyMatch(seen -> seen.range().equals("bytes=" + half + "-")), hub.seen::toString);
    }

    @Test
    void redirectsAreFollowedOnlyToWhereTheHubKeepsItsFilesAndWithoutTheToken() throws Exception {
        fetch(sources("localhost"), "hf://redirects/moral");
        assertIsMoral();
        assertTrue(hub.seen.stream()
                .filter(seen -> seen.path().startsWith("/good/"))
                .allMatch(seen -> seen.authorization().isEmpty()));
        assertTrue(refused(Kind.FORBIDDEN, "hf://redirects/moral").message().contains("redirects to localhost"));
        refused(Kind.FORBIDDEN, "hf://leads-astray/moral");
    }

    @Test
    void aFileThatIsNotWhatTheHubOrTheClientSaysIsRefused() {
        assertTrue(refused(Kind.SOURCE_FAILED, "hf://lies/moral").message().contains("as it should"));
        refused(Kind.SOURCE_FAILED, "hf://good/moral", "1".repeat(64));
        refused(Kind.SOURCE_FAILED, hub.url() + "/files/moral.zip", "1".repeat(64));
    }

    @Test
    void archivesNeedTheirDigest() throws Exception {
        String source = hub.url() + "/files/moral.zip";
        refused(Kind.MALFORMED, source);
        fetch(sources(), source, MockHub.sha256(MockHub.zip("moral")));
        assertIsMoral();
    }

    @Test
    void bucketsAreAskedWithASignature() throws Exception {
        AdapterRefusal none = refused(Kind.NOT_FOUND, "s3://bucket/a/b.zip", "1".repeat(64));
        assertTrue(none.message().contains("/bucket/a/b.zip"), none.message());
        assertTrue(hub.seen.getLast().authorization().startsWith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/19700101/"));
    }

    /** Computed by another implementation of the algorithm. */
    @Test
    void signaturesAreAmazons() {
        Map<String, String> headers = S3Signature.headers(
                URI.create("https://bucket.s3.us-east-1.amazonaws.com/adapters/moral.zip"),
                new S3Signature.Credentials(
                        "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1"),
                Instant.parse("2013-05-24T00:00:00Z"));
        assertEquals("20130524T000000Z", headers.get("x-amz-date"));
        assertTrue(
                String.valueOf(headers.get("Authorization"))
                        .endsWith("Signature=f2dd6d506449bbc7c2a3a5753c4feb5977135f1ce68c7f4fe2f01af66610dc98"),
                headers::toString);
    }

    @Test
    void aSourceThatHangsOrFailsIsGivenUp() {
        long start = System.nanoTime();
        refused(Kind.SOURCE_FAILED, "hf://hangs/moral");
        assertTrue(System.nanoTime() - start < Duration.ofSeconds(10).toNanos());
        refused(Kind.SOURCE_FAILED, "hf://fails/moral");
        refused(Kind.NOT_FOUND, "hf://good/ghost");
    }

    @Test
    void moreBytesThanAllowedAreNotRead() {
        AdapterRefusal refusal = assertThrows(
                AdapterRefusal.class, () -> sources().fetch("hf://good/moral", Optional.empty(), into, 20_000));
        assertEquals(Kind.TOO_LARGE, refusal.kind());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "http://example.com/files/moral.zip",
                "https://127.0.0.1/files/moral.zip",
                "s3://other/a.zip",
                "s3://bucket/../other/a.zip",
                "s3://bucket/..",
                "HF://good/moral",
            })
    void onlyWhatIsAllowedIsFetched(String source) {
        AdapterRefusal refusal = assertThrows(AdapterRefusal.class, () -> fetch(sources(), source, "1".repeat(64)));
        assertEquals(Kind.FORBIDDEN, refusal.kind());
        assertTrue(hub.seen.isEmpty());
    }

    @Test
    void anAllowedPrefixIsNotLeftByTwistedPaths() {
        for (String path : List.of("/files/../good/moral", "/files/%2e%2e/good/moral", "/files/..", "/files\\x")) {
            refused(Kind.FORBIDDEN, hub.url() + path, "1".repeat(64));
        }
        refused(Kind.FORBIDDEN, hub.url().replace("http://", "http://user@") + "/files/moral.zip", "1".repeat(64));
        assertTrue(hub.seen.isEmpty());
    }

    @ParameterizedTest
    @ValueSource(strings = {"hf://moral", "hf://a/b/c", "hf://a/b@..", "hf://a/b@", "hf:///b", "hf://a b/c"})
    void hubNamesAreChecked(String source) {
        refused(Kind.MALFORMED, source);
        assertTrue(hub.seen.isEmpty());
    }
}
