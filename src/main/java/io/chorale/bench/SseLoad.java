package io.chorale.bench;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;

/**
 * A client that costs next to nothing: a socket and a virtual thread a stream, bytes counted and not parsed, so that on a
 * machine of two cores the server is measured and not its load.
 */
final class SseLoad {
    private final int port;

    SseLoad(int port) {
        this.port = port;
    }

    /** What one run of streams came to. */
    record Outcome(long tokens, long nanos, long firstByteNanosMedian) {
        double tokensPerSecond() {
            return tokens * 1e9 / nanos;
        }
    }

    private record Stream(long tokens, long firstByteNanos) {}

    /** Posts all bodies at once to {@code path} and reads every stream to its end. */
    Outcome run(String path, List<String> bodies) throws InterruptedException, IOException {
        return run(path, bodies, bodies.size());
    }

    /** The same with so many streams at a time: where one ends, the next body is posted. */
    Outcome run(String path, List<String> bodies, int atOnceMax) throws InterruptedException, IOException {
        long start = System.nanoTime();
        Semaphore places = new Semaphore(atOnceMax);
        List<Callable<Stream>> clients = new ArrayList<>();
        for (String body : bodies) {
            clients.add(() -> {
                places.acquire();
                try {
                    return stream(path, body);
                } finally {
                    places.release();
                }
            });
        }
        long tokens = 0;
        long[] firstBytes = new long[bodies.size()];
        try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<Stream>> ended = threads.invokeAll(clients);
            for (int i = 0; i < ended.size(); i++) {
                Stream stream = ended.get(i).get();
                tokens += stream.tokens;
                firstBytes[i] = stream.firstByteNanos;
            }
        } catch (ExecutionException e) {
            throw new IOException("a stream failed", e.getCause());
        }
        long nanos = System.nanoTime() - start;
        java.util.Arrays.sort(firstBytes);
        return new Outcome(tokens, nanos, firstBytes[firstBytes.length / 2]);
    }

    private Stream stream(String path, String body) throws IOException {
        byte[] content = body.getBytes(StandardCharsets.UTF_8);
        String head = "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                + "Content-Type: application/json\r\nContent-Length: " + content.length + "\r\n\r\n";
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
            socket.setTcpNoDelay(true);
            long sent = System.nanoTime();
            byte[] request = new byte[head.length() + content.length];
            System.arraycopy(head.getBytes(StandardCharsets.US_ASCII), 0, request, 0, head.length());
            System.arraycopy(content, 0, request, head.length(), content.length);
            socket.getOutputStream().write(request);
            InputStream in = new BufferedInputStream(socket.getInputStream(), 1 << 15);
            byte[] buffer = new byte[1 << 15];
            StringBuilder tail = new StringBuilder();
            long firstByte = 0;
            String status = "";
            for (int n; (n = in.read(buffer)) >= 0; ) {
                String text = new String(buffer, 0, n, StandardCharsets.ISO_8859_1);
                if (firstByte == 0) {
                    firstByte = System.nanoTime() - sent;
                    status = text.substring(0, Math.min(text.length(), 200));
                    if (!text.startsWith("HTTP/1.1 200")) {
                        throw new IOException("the server answered " + text);
                    }
                }
                tail.append(text);
                if (tail.length() > 4096) {
                    tail.delete(0, tail.length() - 2048);
                }
            }
            return new Stream(completionTokens(tail, status), firstByte);
        }
    }

    private static long completionTokens(CharSequence tail, String status) throws IOException {
        String key = "\"completion_tokens\":";
        String text = tail.toString();
        int at = text.lastIndexOf(key);
        if (at < 0 || !text.contains("[DONE]")) {
            throw new IOException("the stream ended without usage and [DONE] after " + status + " ... " + text);
        }
        int end = at + key.length();
        long tokens = 0;
        while (Character.isDigit(text.charAt(end))) {
            tokens = tokens * 10 + (text.charAt(end++) - '0');
        }
        return tokens;
    }
}
