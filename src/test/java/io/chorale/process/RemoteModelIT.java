package io.chorale.process;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.adapter.source.MockModels;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A server whose base model lies on another machine: what it says until it is there, and when it never will be. */
class RemoteModelIT {
    private static final Duration END_MAX = Duration.ofSeconds(60);
    private static final Duration FETCH_MAX = Duration.ofSeconds(60);

    private final MockModels hub = new MockModels();

    @TempDir
    Path state;

    RemoteModelIT() throws Exception {}

    @BeforeEach
    void fill() throws Exception {
        try (Stream<Path> files = Files.list(Path.of("models/fable/model"))) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                hub.put(file.getFileName().toString(), Files.readAllBytes(file));
            }
        }
    }

    @AfterEach
    void close() {
        hub.close();
    }

    private Server start(String name, String source, String... more) throws Exception {
        List<String> settings = new ArrayList<>(List.of(
                "chorale.model.source=" + source,
                "chorale.sources.allowed=hf://",
                "chorale.sources.hub=" + hub.url(),
                "chorale.sources.retry-pause=10MS",
                "chorale.sources.retries=2",
                "chorale.adapters.state-dir=" + state));
        settings.addAll(List.of(more));
        return Server.start(name, settings.toArray(String[]::new));
    }

    @Test
    void shouldSayWhatItWaitsForThenServeAndFetchNothingTheSecondTime() throws Exception {
        hub.slowDown(60);
        try (Server server = start("remote-model-first", "hf://breaks/fable@main")) {
            HttpResponse<String> ready = waiting(server);
            assertTrue(
                    ready.body().matches(".*\"waits-for\":\"fetching hf://breaks/fable@main \\(commit .*"),
                    ready.body());
            assertEquals(200, server.status("/q/health/live"));
            assertEquals(200, server.status("/q/health/started"));
            HttpResponse<String> asked = server.get("/v1/models");
            assertEquals(503, asked.statusCode());
            assertTrue(asked.body().contains("\"code\":\"starting\""), asked.body());
            assertTrue(asked.headers().firstValue("Retry-After").isPresent());
            hub.slowDown(0);
            server.awaitReady();
            String models = server.get("/v1/models").body();
            assertTrue(models.contains("\"id\":\"fable\"") && models.contains("hf://breaks/fable@main"), models);
        }
        hub.close();
        try (Server server = start("remote-model-second", "hf://breaks/fable@main")) {
            server.awaitReady();
        }
    }

    /** The answer of readiness once the weights are on their way. */
    private static HttpResponse<String> waiting(Server server) throws Exception {
        long deadline = System.nanoTime() + FETCH_MAX.toNanos();
        while (System.nanoTime() < deadline) {
            if (server.status("/q/health/ready") == 503) {
                HttpResponse<String> ready = server.get("/q/health/ready");
                if (ready.body().contains("fetching")) {
                    return ready;
                }
            }
            Thread.sleep(20);
        }
        throw new AssertionError("nobody says what is waited for: " + server.log());
    }

    /** Who stops a server in the middle of a fetch does not wait for the rest of it. */
    @Test
    void shouldStopWhileItFetches() throws Exception {
        hub.slowDown(1_000);
        try (Server server = start("remote-model-stopped", "hf://good/fable")) {
            waiting(server);
            server.terminate();
            server.awaitExit(Duration.ofSeconds(10));
            assertTrue(server.log().contains("stopped while fetching hf://good/fable"), server.log());
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            hf://private/fable | does not exist or is private: chorale.sources.hub-token must be
            hf://gated/fable   | hf://gated/fable is gated: accept its terms at
            hf://good/fable@v9 | hf://good/fable has no revision 'v9'
            hf://lies/fable    | model.safetensors of hf://lies/fable is not what its source says it is
            """)
    void shouldEndWithASentence(String source, String said) throws Exception {
        try (Server server = start("remote-model-refused", source)) {
            assertEquals(1, server.awaitExit(END_MAX));
            String log = server.log();
            assertTrue(
                    log.contains("chorale: cannot start: chorale.model.source = " + source + " cannot be served: "),
                    log);
            assertTrue(log.contains(said), log);
            assertFalse(log.contains("\tat "), "a stack trace tells an operator nothing: " + log);
        }
    }
}
