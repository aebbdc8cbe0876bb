package io.chorale.api;

import io.restassured.RestAssured;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.util.TreeMap;

/** One HTTP/1.1 request on a socket of its own, for what client libraries hide: bytes, and how a body ends. */
final class RawHttp implements AutoCloseable {
    private static final int READ_MILLIS_MAX = 30_000;

    private final Socket socket = new Socket();
    private final InputStream in;
    final int status;
    final TreeMap<String, String> headers = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
    private int chunkLeft;
    private boolean first = true;
    private boolean over;

    /** Of a body in chunks, as far as it was read. */
    int longestChunk;

    /** Whether the body ended as HTTP says that it must. */
    boolean endedWell;

    private RawHttp(String head, byte[] body, int receiveBytes) throws IOException {
        if (receiveBytes > 0) {
            socket.setReceiveBufferSize(receiveBytes);
        }
        socket.setSoTimeout(READ_MILLIS_MAX);
        socket.connect(new InetSocketAddress("localhost", RestAssured.port));
        socket.getOutputStream().write(head.getBytes(StandardCharsets.US_ASCII));
        socket.getOutputStream().write(body);
        in = new BufferedInputStream(socket.getInputStream());
        String statusLine = line();
        status = Integer.parseInt(statusLine.split(" ")[1]);
        for (String header = line(); !header.isEmpty(); header = line()) {
            int colon = header.indexOf(':');
            headers.put(header.substring(0, colon), header.substring(colon + 1).strip());
        }
    }

    static RawHttp post(String path, String json) throws IOException {
        return post(path, json, 0);
    }

    /** @param receiveBytes a small receive buffer makes a slow reader felt soon; 0: the system's choice */
    static RawHttp post(String path, String json, int receiveBytes) throws IOException {
        byte[] body = json.getBytes(StandardCharsets.UTF_8);
        String head = "POST " + path + " HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: "
                + body.length + "\r\n\r\n";
        return new RawHttp(head, body, receiveBytes);
    }

    static RawHttp get(String path, String moreHeaders) throws IOException {
        return get(path, moreHeaders, 0);
    }

    /** @param receiveBytes as of {@link #post(String, String, int)} */
    static RawHttp get(String path, String moreHeaders, int receiveBytes) throws IOException {
        String head = "GET " + path + " HTTP/1.1\r\nHost: test\r\n" + moreHeaders + "\r\n";
        return new RawHttp(head, new byte[0], receiveBytes);
    }

    static RawHttp send(String head, byte[] body) throws IOException {
        return new RawHttp(head, body, 0);
    }

    /** The whole body, until it ends in whatever way. */
    String body() throws IOException {
        StringBuilder body = new StringBuilder();
        for (String event = event(); !event.isEmpty(); event = event()) {
            body.append(event);
        }
        return body.toString();
    }

    /** The body up to the next empty line, that included; what is left of it at its end; then nothing. */
    String event() throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        int last = 0;
        while (true) {
            int b = bodyByte();
            if (b < 0) {
                return bytes.toString(StandardCharsets.UTF_8);
            }
            bytes.write(b);
            if (b == '\n' && last == '\n') {
                return bytes.toString(StandardCharsets.UTF_8);
            }
            last = b;
        }
    }

    private int bodyByte() throws IOException {
        if (over) {
            return -1;
        }
        try {
            if (!headers.containsKey("Transfer-Encoding")) {
                if (first) {
                    first = false;
                    chunkLeft = Integer.parseInt(headers.getOrDefault("Content-Length", "0"));
                }
                if (chunkLeft-- == 0) {
                    over = true;
                    endedWell = true;
                    return -1;
                }
                return read();
            }
            if (chunkLeft == 0) {
                if (!first) {
                    line();
                }
                first = false;
                chunkLeft = Integer.parseInt(line(), 16);
                longestChunk = Math.max(longestChunk, chunkLeft);
                if (chunkLeft == 0) {
                    over = true;
                    endedWell = true;
                    return -1;
                }
            }
            chunkLeft--;
            return read();
        } catch (EOFException | SocketException brokenOff) {
            over = true;
            return -1;
        }
    }

    private String line() throws IOException {
        StringBuilder line = new StringBuilder();
        for (int b = read(); b != '\n'; b = read()) {
            if (b != '\r') {
                line.append((char) b);
            }
        }
        return line.toString();
    }

    private int read() throws IOException {
        int b = in.read();
        if (b < 0) {
            throw new EOFException("the connection was closed");
        }
        return b;
    }

    /** Goes away without a word. */
    @Override
    public void close() throws IOException {
        socket.close();
    }
}
