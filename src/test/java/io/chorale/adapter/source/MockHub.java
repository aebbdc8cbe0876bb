package io.chorale.adapter.source;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/**
 * A hub of the bundled adapters, whose organisations stand for manners: {@code good}, {@code breaks} (off in the middle of
 * every second answer), {@code redirects} (to another host name of itself), {@code leads-astray}, {@code lies} about the
 * digest, {@code hangs}, {@code fails}. It also serves {@code /files/NAME.zip}.
 */
public final class MockHub implements AutoCloseable {
    private static final Path ADAPTERS = Path.of("models/fable/adapters");

    /** What came in: path, and the headers that matter. */
    record Seen(String path, String authorization, String range) {}

    final List<Seen> seen = new CopyOnWriteArrayList<>();
    private final HttpServer server;
    private final Map<String, Integer> breaks = new ConcurrentHashMap<>();
    private final CountDownLatch closed = new CountDownLatch(1);

    public MockHub() throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 64);
        server.createContext("/", this::answer);
        server.setExecutor(Executors.newCachedThreadPool(
                Thread.ofPlatform().daemon().name("mock-hub-", 0).factory()));
        server.start();
    }

    public String url() {
        return "http://127.0.0.1:" + server.getAddress().getPort();
    }

    /** The same server by another name. */
    String otherUrl() {
        return "http://localhost:" + server.getAddress().getPort();
    }

    private void answer(HttpExchange exchange) throws IOException {
        String path = exchange.getRequestURI().getPath();
        String authorization = header(exchange, "Authorization");
        seen.add(new Seen(path, authorization, header(exchange, "Range")));
        String[] parts = path.split("/", -1);
        try (exchange) {
            switch (parts[1]) {
                case "hangs" -> hang();
                case "fails" -> exchange.sendResponseHeaders(500, -1);
                case "redirects", "leads-astray" -> {
                    String target = parts[1].equals("redirects") ? otherUrl() : "http://example.invalid";
                    exchange.getResponseHeaders().add("Location", target + path.replace(parts[1], "good"));
                    exchange.sendResponseHeaders(302, -1);
                }
                case "files" -> send(exchange, zip(parts[2].replace(".zip", "")), false);
                default -> {
                    Path file = ADAPTERS.resolve(parts[2]).resolve(parts[parts.length - 1]);
                    if (!Files.exists(file)) {
                        exchange.sendResponseHeaders(404, -1);
                        return;
                    }
                    byte[] bytes = Files.readAllBytes(file);
                    String digest = parts[1].equals("lies") ? "0".repeat(64) : sha256(bytes);
                    exchange.getResponseHeaders().add("X-Linked-Etag", '"' + digest + '"');
                    boolean breaksOff = parts[1].equals("breaks") && breaks.merge(path, 1, Integer::sum) % 2 == 1;
                    send(exchange, bytes, breaksOff);
                }
            }
        }
    }

    private static String header(HttpExchange exchange, String name) {
        String value = exchange.getRequestHeaders().getFirst(name);
        return value == null ? "" : value;
    }

    private void hang() {
        try {
            closed.await();
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }

    private static void send(HttpExchange exchange, byte[] whole, boolean breaksOff) throws IOException {
        String range = header(exchange, "Range");
        int from = range.isEmpty() ? 0 : Integer.parseInt(range.replaceAll("[^0-9]", ""));
        exchange.getResponseHeaders().add("ETag", '"' + sha256(whole).substring(0, 8) + '"');
        if (from > 0) {
            exchange.getResponseHeaders()
                    .add("Content-Range", "bytes " + from + "-" + (whole.length - 1) + "/" + whole.length);
        }
        byte[] rest = Arrays.copyOfRange(whole, from, whole.length);
        exchange.sendResponseHeaders(from > 0 ? 206 : 200, rest.length);
        OutputStream body = exchange.getResponseBody();
        body.write(rest, 0, breaksOff ? rest.length / 2 : rest.length);
        body.flush();
    }

    public static byte[] zip(String adapter) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
            for (String file : List.of("adapter_config.json", "adapter_model.safetensors")) {
                ZipEntry entry = new ZipEntry(file);
                entry.setTime(0);
                zip.putNextEntry(entry);
                zip.write(Files.readAllBytes(ADAPTERS.resolve(adapter).resolve(file)));
            }
        }
        return bytes.toByteArray();
    }

    public static String sha256(byte[] bytes) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    @Override
    public void close() {
        closed.countDown();
        server.stop(0);
    }
}
