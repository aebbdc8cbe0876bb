package io.chorale.adapter.source;

import com.sun.net.httpserver.HttpExchange;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/**
 * A hub of the bundled adapters, whose organisations stand for manners: {@code good}, {@code breaks} (off in the middle of
 * every second answer), {@code redirects} (to another host name of itself), {@code leads-astray}, {@code lies} about the
 * digest, {@code hangs}, {@code fails}. It also serves {@code /files/NAME.zip}.
 */
public final class MockHub extends MockServer {
    private static final Path ADAPTERS = Path.of("models/fable/adapters");

    private final Map<String, Integer> breaks = new ConcurrentHashMap<>();

    public MockHub() throws IOException {}

    @Override
    void answer(HttpExchange exchange, String path) throws IOException {
        String[] parts = path.split("/", -1);
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

    private static void send(HttpExchange exchange, byte[] whole, boolean breaksOff) throws IOException {
        exchange.getResponseHeaders().add("ETag", '"' + sha256(whole).substring(0, 8) + '"');
        byte[] rest =
                Arrays.copyOfRange(whole, beginRange(exchange, header(exchange, "Range"), whole.length), whole.length);
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
}
