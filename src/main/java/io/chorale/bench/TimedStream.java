package io.chorale.bench;

import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * One completion streamed over SSE, with the time at which each of its events came. Events are found by their first bytes
 * and not parsed, so that a small machine can play many streams beside the server.
 *
 * @param status of HTTP
 * @param tokens of the answer, as the server counted them; 0 unless the answer is whole
 * @param eventNanos when each token came, by {@link System#nanoTime}
 * @param problem why the answer is not whole; empty when it is
 */
record TimedStream(int status, int tokens, long[] eventNanos, String problem) {
    private static final byte[] EVENT = "\ndata: ".getBytes(StandardCharsets.US_ASCII);
    private static final Pattern STATUS = Pattern.compile("HTTP/1\\.1 (\\d{3}) ");
    private static final Pattern TOKENS = Pattern.compile("\"completion_tokens\":(\\d{1,9})");
    private static final int TAIL_CHARS = 2048;
    private static final int SHOWN_CHARS = 300;

    boolean whole() {
        return problem.isEmpty();
    }

    /** Posts {@code json}, which must ask for a stream with usage, and reads to the end. */
    static TimedStream post(URI server, String path, String json) {
        byte[] body = json.getBytes(StandardCharsets.UTF_8);
        byte[] head = ("POST " + path + " HTTP/1.1\r\nHost: " + server.getHost() + "\r\nConnection: close\r\n"
                        + "Content-Type: application/json\r\nContent-Length: " + body.length + "\r\n\r\n")
                .getBytes(StandardCharsets.US_ASCII);
        byte[] request = Arrays.copyOf(head, head.length + body.length);
        System.arraycopy(body, 0, request, head.length, body.length);
        Reading reading = new Reading();
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(server.getHost(), server.getPort()));
            socket.setTcpNoDelay(true);
            socket.getOutputStream().write(request);
            reading.readAll(socket.getInputStream());
        } catch (IOException broken) {
            return reading.ended(String.valueOf(broken.getMessage()));
        }
        return reading.ended("");
    }

    /** What has come so far. */
    private static final class Reading {
        private final StringBuilder tail = new StringBuilder();
        private String start = "";
        private long[] eventNanos = new long[512];
        private int events;
        private int matched;

        void readAll(InputStream in) throws IOException {
            byte[] buffer = new byte[1 << 14];
            for (int n; (n = in.read(buffer)) >= 0; ) {
                long now = System.nanoTime();
                for (int i = 0; i < n; i++) {
                    see(buffer[i], now);
                }
                String text = new String(buffer, 0, n, StandardCharsets.ISO_8859_1);
                if (start.isEmpty()) {
                    start = text;
                }
                tail.append(text);
                if (tail.length() > 2 * TAIL_CHARS) {
                    tail.delete(0, tail.length() - TAIL_CHARS);
                }
            }
        }

        /** No byte of {@link #EVENT} but its first is a line's end, so a match that fails can only begin anew there. */
        private void see(byte b, long now) {
            matched = b == EVENT[matched] ? matched + 1 : b == EVENT[0] ? 1 : 0;
            if (matched == EVENT.length) {
                matched = 0;
                if (events == eventNanos.length) {
                    eventNanos = Arrays.copyOf(eventNanos, 2 * events);
                }
                eventNanos[events++] = now;
            }
        }

        TimedStream ended(String failure) {
            Matcher statusLine = STATUS.matcher(start);
            int status = statusLine.lookingAt() ? Integer.parseInt(statusLine.group(1)) : 0;
            Matcher usage = TOKENS.matcher(tail);
            int tokens = 0;
            while (usage.find()) {
                tokens = Integer.parseInt(usage.group(1));
            }
            boolean whole = status == 200 && tail.indexOf("data: [DONE]") >= 0 && tokens <= events;
            // What follows the tokens, the reason, the usage and the end, has none.
            return whole
                    ? new TimedStream(status, tokens, Arrays.copyOf(eventNanos, tokens), "")
                    : new TimedStream(status, 0, Arrays.copyOf(eventNanos, events), problem(status, failure));
        }

        private String problem(int status, String failure) {
            String shown =
                    tail.substring(Math.max(0, tail.length() - SHOWN_CHARS)).strip();
            return "status " + status + (failure.isEmpty() ? "" : ", " + failure) + ", ends with: " + shown;
        }
    }
}
