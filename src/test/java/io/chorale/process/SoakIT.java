package io.chorale.process;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** A hundred thousand requests, a third of whose clients go away in the middle: nothing is left of them. */
@Tag("long")
class SoakIT {
    private static final int REQUESTS = 100_000;
    private static final int AT_ONCE = 64;
    private static final int TOKENS = 8;

    /** What lies between two looks at a process that leaks nothing: buffers, and the heap's mood. */
    private static final long RESIDENT_GROWTH_MAX = 48L << 20;

    private static final int FILES_GROWTH_MAX = 8;
    private static final int QUIET_MILLIS = 1500;

    private final AtomicInteger whole = new AtomicInteger();
    private final AtomicInteger left = new AtomicInteger();

    @Test
    void shouldKeepNothingOfAHundredThousandRequests() throws Exception {
        try (Server server = Server.start(
                        "soak",
                        "chorale.engine.simulated.step=1MS",
                        "quarkus.log.category.\"io.chorale.request\".level=OFF")
                .awaitReady()) {
            run(server, REQUESTS / 4);
            Look warm = look(server);
            run(server, REQUESTS - REQUESTS / 4);
            Look after = look(server);
            System.Logger log = System.getLogger(SoakIT.class.getName());
            log.log(System.Logger.Level.INFO, "whole {0}, left {1}, {2} -> {3}", whole, left, warm, after);
            assertEquals(REQUESTS, whole.get() + left.get());
            assertTrue(left.get() > REQUESTS / 4, "many clients went away");
            assertEquals(warm.pagesThere(), after.pagesThere(), "pages");
            assertTrue(after.files() - warm.files() <= FILES_GROWTH_MAX, warm + " " + after);
            assertTrue(after.residentBytes() - warm.residentBytes() <= RESIDENT_GROWTH_MAX, warm + " " + after);
        }
    }

    /** @param pagesThere free, or kept for who begins alike, which is as good as free */
    private record Look(long residentBytes, int files, int pagesThere) {}

    /** When all is quiet. */
    private static Look look(Server server) throws IOException, InterruptedException {
        try (HttpClient http = HttpClient.newHttpClient()) {
            URI load = URI.create("http://127.0.0.1:" + server.port + "/v1/load");
            for (int i = 0; i < 200; i++) {
                Thread.sleep(50);
                JsonNode now = new ObjectMapper()
                        .readTree(http.send(HttpRequest.newBuilder(load).build(), HttpResponse.BodyHandlers.ofString())
                                .body());
                if (now.at("/requests/running").asInt()
                                + now.at("/requests/waiting").asInt()
                        == 0) {
                    // The executable gives back in a quiet moment what finished requests have left behind.
                    Thread.sleep(QUIET_MILLIS);
                    return new Look(
                            server.residentBytes(),
                            server.files(),
                            now.at("/pages/free").asInt()
                                    + now.at("/pages/cached").asInt());
                }
            }
        }
        throw new AssertionError("requests are left");
    }

    private void run(Server server, int count) throws InterruptedException {
        Semaphore places = new Semaphore(AT_ONCE);
        for (int i = 0; i < count; i++) {
            places.acquire();
            boolean leaves = i % 3 == 0;
            Thread.ofVirtual().start(() -> {
                try {
                    ask(server.port, leaves);
                } catch (IOException broken) {
                    throw new AssertionError("a request failed", broken);
                } finally {
                    places.release();
                }
            });
        }
        places.acquire(AT_ONCE);
    }

    /** A connection of its own, as a client that goes away has. */
    private void ask(int port, boolean leaves) throws IOException {
        String body = "{\"model\":\"fable\",\"prompt\":[5,6,7],\"max_tokens\":" + (leaves ? 500 : TOKENS)
                + ",\"stream\":true}";
        try (Socket socket = new Socket("127.0.0.1", port)) {
            socket.setSoTimeout(60_000);
            socket.getOutputStream()
                    .write(("POST /v1/completions HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\n"
                                    + "Connection: close\r\nContent-Length: " + body.length() + "\r\n\r\n" + body)
                            .getBytes(StandardCharsets.US_ASCII));
            InputStream in = socket.getInputStream();
            if (leaves) {
                // The head and the first event are there: it is under way.
                if (in.readNBytes(16).length == 16) {
                    left.incrementAndGet();
                }
            } else if (new String(in.readAllBytes(), StandardCharsets.US_ASCII).contains("data: [DONE]")) {
                whole.incrementAndGet();
            }
        }
    }
}
