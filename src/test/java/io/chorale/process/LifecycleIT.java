package io.chorale.process;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.OutputStream;
import java.net.Socket;
import java.net.http.HttpClient;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What clients, probes and a supervisor see of a process that is told to stop, or is killed. */
class LifecycleIT {
    private static final Duration EXIT_MAX = Duration.ofSeconds(30);

    /** 143: ended by SIGTERM, after everything that it had to do. */
    private static final int TERMINATED = 128 + 15;

    @Test
    void shouldFinishItsStreamsWhenToldToStop() throws Exception {
        try (Server server =
                Server.start("finishes", "chorale.lifecycle.drain-grace=30S").awaitReady()) {
            List<Answer> answers = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                answers.add(Answer.stream(server.port, 150));
            }
            for (Answer answer : answers) {
                answer.begun();
            }
            server.terminate();
            awaitNotReady(server);
            assertEquals(200, server.status("/q/health/live"), "a server that drains is alive");
            try (HttpClient http =
                    HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build()) {
                HttpResponse<String> refused =
                        http.send(Answer.request(server.port, 5, false), HttpResponse.BodyHandlers.ofString());
                assertEquals(503, refused.statusCode());
                assertTrue(refused.headers().firstValueAsLong("Retry-After").orElse(0) >= 1);
                assertEquals("close", refused.headers().firstValue("Connection").orElse("kept"));
                assertEquals(
                        "draining",
                        new ObjectMapper()
                                .readTree(refused.body())
                                .at("/error/code")
                                .asText());
            }
            for (Answer answer : answers) {
                assertTrue(answer.isWhole(), "an answer was cut");
            }
            assertEquals(TERMINATED, server.awaitExit(EXIT_MAX));
            assertFalse(server.log().contains("ERROR"), server.log());
        }
    }

    /** A request that has begun to come when the server has nothing to finish: it gets an answer, no closed connection. */
    @Test
    @Timeout(60)
    void shouldAnswerWhoHasAsked() throws Exception {
        try (Server server = Server.start("asked").awaitReady();
                Socket socket = new Socket("localhost", server.port)) {
            socket.setSoTimeout((int) EXIT_MAX.toMillis());
            String body = "{\"model\":\"fable\",\"prompt\":[5],\"x\":\"" + "a".repeat(20_000) + "\"}";
            String head = "POST /v1/completions HTTP/1.1\r\nHost: test\r\nConnection: close\r\n"
                    + "Content-Type: application/json\r\nContent-Length: " + body.length() + "\r\n\r\n";
            OutputStream out = socket.getOutputStream();
            out.write((head + body.substring(0, body.length() - 1_000)).getBytes(StandardCharsets.US_ASCII));
            assertEquals(200, server.status("/q/health/live"));
            server.terminate();
            while (!server.log().contains("DRAINING")) {
                Thread.sleep(20);
            }
            out.write(body.substring(body.length() - 1_000).getBytes(StandardCharsets.US_ASCII));
            String answer = new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            assertTrue(answer.startsWith("HTTP/1.1 503 "), answer);
            assertEquals(TERMINATED, server.awaitExit(EXIT_MAX));
        }
    }

    /** Longer than the grace: an error that no library takes for a whole answer, and an end in time. */
    @Test
    void shouldBreakOffWhatTakesTooLong() throws Exception {
        try (Server server =
                Server.start("breaks-off", "chorale.lifecycle.drain-grace=1S").awaitReady()) {
            Answer answer = Answer.stream(server.port, 900).begun();
            long told = System.nanoTime();
            server.terminate();
            assertFalse(answer.isWhole());
            assertFalse(answer.endedWell());
            assertFalse(answer.saysDone());
            assertEquals(TERMINATED, server.awaitExit(EXIT_MAX));
            assertTrue(Duration.ofNanos(System.nanoTime() - told).toSeconds() < 20);
            assertFalse(server.log().contains("within PT3S"), "what was broken off is waited for: " + server.log());
        }
    }

    @Test
    void shouldLeaveNoWholeAnswerBehindWhenKilled() throws Exception {
        try (Server server = Server.start("killed").awaitReady()) {
            List<Answer> answers = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                answers.add(Answer.stream(server.port, 300));
            }
            for (Answer answer : answers) {
                answer.begun();
            }
            server.kill();
            for (Answer answer : answers) {
                assertFalse(answer.endedWell(), "half an answer ended as a whole one does");
                assertFalse(answer.saysDone());
            }
        }
        // Its supervisor starts another.
        try (Server next = Server.start("killed-next").awaitReady()) {
            assertTrue(Answer.stream(next.port, 5).isWhole());
        }
    }

    private static void awaitNotReady(Server server) throws InterruptedException {
        for (int i = 0; i < 100; i++) {
            if (server.status("/q/health/ready") == 503) {
                return;
            }
            Thread.sleep(20);
        }
        throw new AssertionError("it is told to stop and still says that it is ready");
    }
}
