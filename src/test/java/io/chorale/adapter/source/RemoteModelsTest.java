package io.chorale.adapter.source;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.adapter.AdapterRefusal;
import io.chorale.adapter.AdapterRefusal.Kind;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.InstantSource;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Base models from a hub and from a folder with digests, which break off, lie, refuse or are slow. */
@Timeout(60)
class RemoteModelsTest {
    private static final long BYTES_MAX = 64 << 20;
    private static final int SHARD_BYTES = 5 << 20;

    private final MockModels hub = new MockModels();
    private final FetchProgress progress = new FetchProgress();

    @TempDir
    Path shelf;

    RemoteModelsTest() throws IOException {}

    @BeforeEach
    void fill() {
        hub.put("config.json", "{}".getBytes(StandardCharsets.UTF_8));
        hub.put("generation_config.json", "{\"top_k\":5}".getBytes(StandardCharsets.UTF_8));
        hub.put("tokenizer.json", noise(300_000, 1));
        hub.put("README.md", "words".getBytes(StandardCharsets.UTF_8));
        hub.put("pytorch_model.bin", noise(100_000, 2));
        hub.put("consolidated.safetensors", noise(100_000, 3));
        hub.put("model-1.safetensors", noise(SHARD_BYTES, 4));
        hub.put("model-2.safetensors", noise(SHARD_BYTES, 5));
        index("model-1.safetensors", "model-2.safetensors");
    }

    @AfterEach
    void close() {
        hub.close();
    }

    private static byte[] noise(int bytes, long seed) {
        byte[] noise = new byte[bytes];
        new Random(seed).nextBytes(noise);
        return noise;
    }

    private void index(String... shards) {
        StringBuilder map = new StringBuilder();
        for (String shard : shards) {
            map.append(map.isEmpty() ? "" : ",").append("\"t." + map.length() + "\":\"" + shard + "\"");
        }
        hub.put("model.safetensors.index.json", ("{\"weight_map\":{" + map + "}}").getBytes(StandardCharsets.UTF_8));
    }

    private RemoteModels models(long bytesMax, Duration slice) {
        SourceRules rules = new SourceRules(
                List.of("hf://", hub.url() + "/files/"),
                URI.create(hub.url()),
                Optional.of("hub-token"),
                List.of("localhost"),
                Optional.empty(),
                "eu-west-1",
                Optional.empty(),
                Optional.empty(),
                Duration.ofSeconds(2),
                Duration.ofMillis(500));
        return new RemoteModels(
                new SourceClient(rules, source -> RemoteModelsTest::threeTimes, InstantSource.system()),
                new RemoteModels.Limits(bytesMax, 2, slice));
    }

    /** Tries again at once. */
    static <T> T threeTimes(Callable<T> action, Class<T> type) throws Exception {
        for (int i = 0; i < 2; i++) {
            try {
                return action.call();
            } catch (IOException again) {
                assertTrue(again.getMessage() != null);
            }
        }
        return action.call();
    }

    private Path fetch(String source) throws Exception {
        return models(BYTES_MAX, Duration.ofSeconds(10))
                .fetch(new ModelWish(source, Optional.empty()), shelf, progress);
    }

    private AdapterRefusal refused(Kind kind, String source) {
        AdapterRefusal refusal = assertThrows(AdapterRefusal.class, () -> fetch(source));
        assertEquals(kind, refusal.kind(), refusal::message);
        return refusal;
    }

    private static List<String> names(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(file -> String.valueOf(file.getFileName()))
                    .sorted()
                    .toList();
        }
    }

    private static void assertIsWhole(Path folder) throws IOException {
        assertEquals(
                List.of(
                        "config.json",
                        "fetched.json",
                        "generation_config.json",
                        "lock",
                        "model-1.safetensors",
                        "model-2.safetensors",
                        "model.safetensors.index.json",
                        "tokenizer.json"),
                names(folder));
        assertArrayEquals(noise(SHARD_BYTES, 4), Files.readAllBytes(folder.resolve("model-1.safetensors")));
        assertArrayEquals(noise(SHARD_BYTES, 5), Files.readAllBytes(folder.resolve("model-2.safetensors")));
    }

    @Test
    void shouldFetchWhatIsServedAndNothingElse() throws Exception {
        Path folder = fetch("hf://good/fable");
        assertIsWhole(folder);
        assertTrue(hub.seen.stream().allMatch(seen -> seen.authorization().equals("Bearer hub-token")));
        assertTrue(
                progress.sentence().contains("10 of 11 MB")
                        || progress.sentence().contains("11 of 11 MB"),
                progress::sentence);
        assertTrue(progress.sentence().contains("(commit " + hub.commit() + ")"), progress::sentence);
    }

    @Test
    void shouldAskNobodyTheSecondTimeAndStayWithTheCommit() throws Exception {
        Path folder = fetch("hf://good/fable@main");
        hub.put("model-1.safetensors", noise(100, 9));
        int before = hub.seen.size();
        assertEquals(folder, fetch("hf://good/fable@main"));
        assertEquals(before, hub.seen.size());
        assertIsWhole(folder);
    }

    /** A branch may have slashes in its name; another wish has another folder. */
    @Test
    void shouldKeepRevisionsApart() throws Exception {
        Path main = fetch("hf://good/fable");
        Path request = fetch("hf://good/fable@refs/pr/1");
        Path commit = fetch("hf://good/fable@" + hub.commit());
        assertEquals(3, Stream.of(main, request, commit).distinct().count());
        assertIsWhole(request);
        assertIsWhole(commit);
    }

    @Test
    void shouldGoOnWhereItBrokeOff() throws Exception {
        assertIsWhole(fetch("hf://breaks/fable"));
        assertTrue(hub.seen.stream().anyMatch(seen -> seen.range().equals("bytes=" + MockModels.BREAK_BYTES + "-")));
        assertTrue(hub.bytesSent.get() < 2 * SHARD_BYTES + (1 << 20), "nothing is sent twice: " + hub.bytesSent);
    }

    @Test
    void shouldBeginAnewWhereASourceKnowsNoRanges() throws Exception {
        assertIsWhole(fetch("hf://rangeless/fable"));
        assertEquals(10.8e6, (double) progress.bytes(), 0.3e6);
    }

    /** An attempt takes a slice of time; the rest is for those that follow. */
    @Test
    void shouldTakeManyAttemptsForASlowSource() throws Exception {
        hub.slowDown(10);
        Path folder = models(BYTES_MAX, Duration.ofMillis(100))
                .fetch(new ModelWish("hf://good/fable", Optional.empty()), shelf, progress);
        assertIsWhole(folder);
        assertTrue(hub.seen.stream()
                        .filter(seen -> seen.path().endsWith("model-1.safetensors"))
                        .count()
                > 4);
    }

    /** A process that ended in the middle leaves parts; what they are worth is known at the end. */
    @Test
    void shouldTakeUpWhatAnEarlierStartLeft() throws Exception {
        Path folder = fetch("hf://good/fable");
        byte[] half = Arrays.copyOf(noise(SHARD_BYTES, 4), SHARD_BYTES / 2);
        Files.delete(folder.resolve("model-1.safetensors"));
        Files.write(folder.resolve("model-1.safetensors.part"), half);
        Files.delete(folder.resolve("model-2.safetensors"));
        Files.write(folder.resolve("model-2.safetensors.part"), noise(SHARD_BYTES / 2, 77));
        long before = hub.bytesSent.get();
        assertIsWhole(fetch("hf://good/fable"));
        long expected = SHARD_BYTES / 2 + SHARD_BYTES / 2 + SHARD_BYTES;
        assertEquals(
                expected, hub.bytesSent.get() - before, "half, half and, as it was no beginning of it, a whole one");
    }

    @Test
    void shouldFetchAFileAnewThatWasCutShort() throws Exception {
        Path folder = fetch("hf://good/fable");
        Files.write(folder.resolve("model-1.safetensors"), new byte[100]);
        assertIsWhole(fetch("hf://good/fable"));
        assertEquals(
                List.of(),
                names(folder).stream().filter(name -> name.endsWith(".part")).toList());
    }

    @Test
    void shouldFollowTheHubToWhereItKeepsItsFilesWithoutTheToken() throws Exception {
        assertIsWhole(fetch("hf://redirects/fable"));
        assertTrue(hub.seen.stream()
                .filter(seen -> seen.path().startsWith("/good/"))
                .allMatch(seen -> seen.authorization().isEmpty()));
    }

    @Test
    void shouldRefuseWhatIsNotWhatTheHubSays() throws Exception {
        AdapterRefusal refusal = refused(Kind.SOURCE_FAILED, "hf://lies/fable");
        assertTrue(refusal.message().contains(".safetensors of hf://lies/fable is not what"), refusal::message);
        Path folder = shelf.resolve(new ModelWish("hf://lies/fable", Optional.empty()).folderName());
        assertFalse(names(folder).stream().anyMatch(name -> name.endsWith("safetensors")), () -> folder.toString());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            hf://private/fable     | SOURCE_FAILED | does not exist or is private: chorale.sources.hub-token must be a token
            hf://gated/fable       | SOURCE_FAILED | hf://gated/fable is gated: accept its terms at
            hf://good/fable@v9     | NOT_FOUND     | hf://good/fable has no revision 'v9'
            hf://fails/fable       | SOURCE_FAILED | answers 500
            hf://hangs/fable       | SOURCE_FAILED | failed
            http://example.com/x/  | FORBIDDEN     | models are not fetched from there (chorale.sources.allowed)
            """)
    void shouldSayWhatIsWrong(String source, Kind kind, String said) {
        String message = refused(kind, source).message();
        assertTrue(message.contains(said), message);
    }

    @Test
    void shouldRefuseWhatIsNoModel() throws Exception {
        hub.remove("model.safetensors.index.json");
        String pickled = refused(Kind.INVALID, "hf://good/fable").message();
        assertTrue(pickled.contains("neither model.safetensors nor") && pickled.contains("pickled"), pickled);
        hub.remove("config.json");
        assertTrue(refused(Kind.INVALID, "hf://good/fable").message().contains("has no config.json"));
        assertEquals(
                0,
                hub.seen.stream()
                        .filter(seen -> seen.path().contains("/resolve/"))
                        .count());
        hub.put("config.json", new byte[] {'{', '}'});
        index("model-1.safetensors", "model-3.safetensors");
        assertTrue(refused(Kind.INVALID, "hf://good/fable").message().contains("no file 'model-3.safetensors'"));
        index("../../etc/passwd");
        assertTrue(refused(Kind.INVALID, "hf://good/fable@main").message().contains("no file '../../etc/passwd'"));
    }

    @Test
    void shouldRefuseMoreThanIsAllowedBeforeItFetchesWeights() {
        AdapterRefusal refusal = assertThrows(
                AdapterRefusal.class,
                () -> models(8_000_000, Duration.ofSeconds(10))
                        .fetch(new ModelWish("hf://good/fable", Optional.empty()), shelf, progress));
        assertEquals(Kind.TOO_LARGE, refusal.kind());
        assertTrue(refusal.message().contains("11 MB; 8.0 are allowed"), refusal::message);
        assertFalse(hub.seen.stream().anyMatch(seen -> seen.path().endsWith(".safetensors")));
    }

    @Test
    void shouldFetchAFolderWhoseListHasTheDigest() throws Exception {
        String source = hub.url() + "/files/fable/";
        ModelWish wish = new ModelWish(source, Optional.of(MockModels.hex("SHA-256", hub.sums())));
        assertIsWhole(models(BYTES_MAX, Duration.ofSeconds(10)).fetch(wish, shelf, progress));
        int before = hub.seen.size();
        assertIsWhole(models(BYTES_MAX, Duration.ofSeconds(10)).fetch(wish, shelf, progress));
        assertEquals(before, hub.seen.size());
        ModelWish other = new ModelWish(source, Optional.of("1".repeat(64)));
        AdapterRefusal refusal = assertThrows(
                AdapterRefusal.class,
                () -> models(BYTES_MAX, Duration.ofSeconds(10)).fetch(other, shelf, progress));
        assertTrue(refusal.message().contains("SHA256SUMS has the SHA-256"), refusal::message);
    }

    /** As two replicas with one disk, or a rollout, would. */
    @Test
    void shouldFetchOnceWhereTwoProcessesWant() throws Exception {
        hub.slowDown(2);
        Process other = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-cp",
                        System.getProperty("java.class.path"),
                        FetchingProcess.class.getName(),
                        hub.url(),
                        shelf.toString())
                .redirectErrorStream(true)
                .start();
        try {
            CompletableFuture<Path> here = CompletableFuture.supplyAsync(() -> {
                try {
                    return fetch("hf://good/fable");
                } catch (Exception failed) {
                    throw new IllegalStateException(failed);
                }
            });
            assertIsWhole(here.get());
            assertEquals(0, other.waitFor(), () -> "the other process");
        } finally {
            other.destroyForcibly();
        }
        assertEquals(
                1,
                hub.seen.stream()
                        .filter(seen -> seen.path().endsWith("model-2.safetensors"))
                        .count());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "meta/llama",
                "hf://llama",
                "hf://a/b/c",
                "hf://a/b@",
                "hf://a/../b",
                "hf://a/b@..",
                "https://host/model",
                "https://user:key@host/model/",
                "https://host/%2e%2e/",
                "https://host/a/?x=/",
                "file:///etc/",
                "ftp://host/",
                "/models/mine"
            })
    void shouldTellNamesThatAreNone(String source) {
        assertTrue(new ModelWish(source, Optional.empty()).problem().orElse("").startsWith("must be hf://ORG/NAME"));
    }

    @Test
    void shouldWantADigestWhereNobodyElseKnowsIt() {
        assertEquals(Optional.empty(), new ModelWish("hf://a/b@v1", Optional.empty()).digestProblem());
        assertTrue(new ModelWish("hf://a/b", Optional.of("1".repeat(64)))
                .digestProblem()
                .isPresent());
        assertTrue(new ModelWish("s3://bucket/m/", Optional.empty())
                .digestProblem()
                .isPresent());
        assertTrue(new ModelWish("s3://bucket/m/", Optional.of("12"))
                .digestProblem()
                .isPresent());
        assertEquals("m", new ModelWish("s3://bucket/m/", Optional.empty()).modelName());
        assertEquals("b", new ModelWish("hf://a/b@refs/pr/1", Optional.empty()).modelName());
    }
}
