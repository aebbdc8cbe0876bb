package io.chorale.adapter.source;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;

/** A server on a free port of this machine that remembers what came in. */
abstract class MockServer implements AutoCloseable {
    /** What came in: path, and the headers that matter. */
    record Seen(String path, String authorization, String range) {}

    final List<Seen> seen = new CopyOnWriteArrayList<>();
    private final HttpServer server;
    private final CountDownLatch closed = new CountDownLatch(1);

    MockServer() throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 64);
        server.createContext("/", this::take);
        server.setExecutor(Executors.newCachedThreadPool(
                Thread.ofPlatform().daemon().name("mock-", 0).factory()));
        server.start();
    }

    public String url() {
        return "http://127.0.0.1:" + server.getAddress().getPort();
    }

    /** The same server by another name. */
    String otherUrl() {
        return "http://localhost:" + server.getAddress().getPort();
    }

    private void take(HttpExchange exchange) throws IOException {
        String path = exchange.getRequestURI().getPath();
        seen.add(new Seen(path, header(exchange, "Authorization"), header(exchange, "Range")));
        try (exchange) {
            answer(exchange, path);
        }
    }

    abstract void answer(HttpExchange exchange, String path) throws IOException;

    /** Until the server is closed. */
    final void hang() {
        try {
            closed.await();
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }

    static String header(HttpExchange exchange, String name) {
        String value = exchange.getRequestHeaders().getFirst(name);
        return value == null ? "" : value;
    }

    /** Begins the answer with what is asked for of a file; returns from which byte on that is. */
    static int beginRange(HttpExchange exchange, String range, int length) throws IOException {
        int from = range.isEmpty() ? 0 : Integer.parseInt(range.replaceAll("[^0-9]", ""));
        if (from > 0) {
            exchange.getResponseHeaders().add("Content-Range", "bytes " + from + "-" + (length - 1) + "/" + length);
        }
        exchange.sendResponseHeaders(from > 0 ? 206 : 200, length == 0 ? -1 : length - from);
        return from;
    }

    @Override
    public void close() {
        closed.countDown();
        server.stop(0);
    }
}
