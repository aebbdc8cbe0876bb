package io.chorale.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;

/** A whole answer is counted and timed; nothing else is taken for one. */
class TimedStreamTest {
    private static final String HEAD = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    private static final String END = "data: {\"choices\":[],\"usage\":{\"completion_tokens\":%d}}\n\ndata: [DONE]\n\n";
    private static final Duration PAUSE = Duration.ofMillis(60);

    /** Asks a server that says these parts, with a pause after each. */
    private static TimedStream read(String... parts) throws Exception {
        try (ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
                ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            Future<TimedStream> stream = threads.submit(() ->
                    TimedStream.post(URI.create("http://localhost:" + server.getLocalPort()), "/v1/completions", "{}"));
            try (Socket client = server.accept()) {
                client.getInputStream().read(new byte[1024]);
                OutputStream out = client.getOutputStream();
                for (String part : parts) {
                    out.write(part.getBytes(StandardCharsets.UTF_8));
                    out.flush();
                    Thread.sleep(PAUSE);
                }
            }
            return stream.get();
        }
    }

    private static String chunk(String body) {
        return Integer.toHexString(body.length()) + "\r\n" + body + "\r\n";
    }

    private static String token(String text) {
        return chunk("data: {\"choices\":[{\"text\":\"" + text + "\"}]}\n\n");
    }

    @Test
    void shouldTimeEachTokenOfAWholeAnswer() throws Exception {
        TimedStream stream = read(HEAD + token("a"), token("\\ndata: b"), token("c") + chunk(END.formatted(3)));
        assertTrue(stream.whole(), stream.problem());
        assertEquals(200, stream.status());
        assertEquals(3, stream.tokens());
        assertEquals(3, stream.eventNanos().length, "what follows the tokens is not counted");
        for (int i = 1; i < 3; i++) {
            long gap = stream.eventNanos()[i] - stream.eventNanos()[i - 1];
            assertTrue(gap >= PAUSE.toNanos() / 2, "the gap was " + gap + " ns");
        }
    }

    @Test
    void shouldFindAnEventThatIsCutAnywhere() throws Exception {
        String answer = token("a") + token("b") + chunk(END.formatted(2));
        for (int cut : new int[] {1, 4, 5, 6, 7, 9, 11, answer.indexOf("\ndata", 20) + 1, answer.length() - 12}) {
            TimedStream stream = read(HEAD + answer.substring(0, cut), answer.substring(cut));
            assertTrue(stream.whole(), "cut at " + cut + ": " + stream.problem());
            assertEquals(2, stream.tokens());
        }
    }

    @Test
    void shouldNotTakeAPartForTheWhole() throws Exception {
        TimedStream brokenOff = read(HEAD + token("a"), token("b"));
        assertFalse(brokenOff.whole());
        assertEquals(0, brokenOff.tokens());
        TimedStream lies = read(HEAD + token("a") + chunk(END.formatted(9)));
        assertFalse(lies.whole(), "more tokens than events came");
    }

    @Test
    void shouldSayWhyAnAnswerIsNone() throws Exception {
        TimedStream refused =
                read("HTTP/1.1 503 Service Unavailable\r\n\r\n{\"error\":{\"code\":\"server_overloaded\"}}");
        assertEquals(503, refused.status());
        assertTrue(refused.problem().contains("server_overloaded"), refused.problem());
        TimedStream nobody = TimedStream.post(URI.create("http://localhost:1"), "/", "{}");
        assertEquals(0, nobody.status());
        assertFalse(nobody.problem().isEmpty());
    }
}
