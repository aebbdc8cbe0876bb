package io.chorale.adapter.source;

import com.sun.net.httpserver.HttpExchange;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A hub of models: what is put into it, in the shape of the Hugging Face hub's API and as a folder with SHA256SUMS under
 * {@code /files/}. Organisations stand for manners: {@code good}; {@code breaks} off after every {@link #BREAK_BYTES};
 * {@code rangeless} breaks off once a file, and always begins anew; {@code lies} about content, {@code fails}, {@code hangs},
 * {@code gated}, {@code private}, {@code redirects} to another name of itself.
 */
public final class MockModels extends MockServer {
    static final int BREAK_BYTES = 2 << 20;

    final AtomicLong bytesSent = new AtomicLong();
    private final Map<String, byte[]> files = new ConcurrentHashMap<>();
    private final Map<String, Integer> brokenOff = new ConcurrentHashMap<>();
    private volatile long pauseMillis;

    public MockModels() throws IOException {}

    public void put(String file, byte[] content) {
        files.put(file, content);
    }

    void remove(String file) {
        files.remove(file);
    }

    /** Waits so long before each 64 KB. */
    public void slowDown(long millis) {
        pauseMillis = millis;
    }

    /** As the hub would name it: it changes with the files. */
    String commit() {
        MessageDigest digest = algorithm("SHA-1");
        new TreeMap<>(files).forEach((name, content) -> {
            digest.update(name.getBytes(StandardCharsets.UTF_8));
            digest.update(content);
        });
        return HexFormat.of().formatHex(digest.digest());
    }

    byte[] sums() {
        StringBuilder lines = new StringBuilder();
        new TreeMap<>(files)
                .forEach((name, content) -> lines.append(hex("SHA-256", content))
                        .append("  ")
                        .append(name)
                        .append('\n'));
        return lines.toString().getBytes(StandardCharsets.UTF_8);
    }

    @Override
    void answer(HttpExchange exchange, String path) throws IOException {
        String[] parts = path.split("/", -1);
        boolean isListing = path.startsWith("/api/models/");
        String organisation = isListing ? parts[3] : parts[1];
        String name = parts[parts.length - 1];
        if (organisation.equals("fails")) {
            exchange.sendResponseHeaders(500, -1);
        } else if (organisation.equals("hangs") && !isListing) {
            hang();
        } else if (organisation.equals("private")) {
            refuse(exchange, 401, "RepoNotFound");
        } else if (organisation.equals("gated") && !isListing) {
            refuse(exchange, 403, "GatedRepo");
        } else if (isListing && !List.of("main", commit(), "refs/pr/1").contains(revision(path))) {
            refuse(exchange, 404, "RevisionNotFound");
        } else if (isListing) {
            send(exchange, organisation, listing());
        } else if (organisation.equals("redirects")) {
            exchange.getResponseHeaders().add("Location", otherUrl() + path.replace("redirects", "good"));
            exchange.sendResponseHeaders(302, -1);
        } else if (name.equals("SHA256SUMS")) {
            send(exchange, organisation, sums());
        } else if (!files.containsKey(name) || !isOfThisCommit(parts)) {
            refuse(exchange, 404, "EntryNotFound");
        } else {
            send(exchange, organisation, content(organisation, name));
        }
    }

    /** A file of the hub is only asked for by commit; of a folder there are no commits. */
    private boolean isOfThisCommit(String[] parts) {
        return parts[1].equals("files") || parts[4].equals(commit());
    }

    private static String revision(String path) {
        return path.substring(path.indexOf("/revision/") + "/revision/".length());
    }

    private byte[] content(String organisation, String name) {
        byte[] content = files.getOrDefault(name, new byte[0]);
        if (organisation.equals("lies") && name.endsWith(".safetensors")) {
            byte[] other = content.clone();
            other[other.length / 2] ^= 1;
            return other;
        }
        return content;
    }

    private byte[] listing() {
        StringBuilder siblings = new StringBuilder();
        new TreeMap<>(files).forEach((name, content) -> {
            String lfs = name.endsWith(".safetensors")
                    ? ",\"lfs\":{\"sha256\":\"" + hex("SHA-256", content) + "\",\"size\":" + content.length + "}"
                    : "";
            siblings.append(siblings.isEmpty() ? "" : ",")
                    .append("{\"rfilename\":\"" + name + "\",\"size\":" + content.length + ",\"blobId\":\""
                            + gitBlob(content) + "\"" + lfs + "}");
        });
        String json = "{\"id\":\"x/y\",\"sha\":\"" + commit() + "\",\"siblings\":[" + siblings
                + ",{\"rfilename\":\"onnx/model.onnx\"},{\"rfilename\":\"../../evil.safetensors\"}]}";
        return json.getBytes(StandardCharsets.UTF_8);
    }

    private static void refuse(HttpExchange exchange, int status, String code) throws IOException {
        exchange.getResponseHeaders().add("X-Error-Code", code);
        exchange.sendResponseHeaders(status, -1);
    }

    private void send(HttpExchange exchange, String organisation, byte[] whole) throws IOException {
        String path = exchange.getRequestURI().getPath();
        String range = organisation.equals("rangeless") ? "" : header(exchange, "Range");
        int from = beginRange(exchange, range, whole.length);
        boolean breaksOff = organisation.equals("breaks")
                || (organisation.equals("rangeless") && brokenOff.merge(path, 1, Integer::sum) == 1);
        byte[] rest =
                Arrays.copyOfRange(whole, from, breaksOff ? Math.min(whole.length, from + BREAK_BYTES) : whole.length);
        OutputStream body = exchange.getResponseBody();
        for (int at = 0; at < rest.length; at += 1 << 16) {
            pause();
            int count = Math.min(1 << 16, rest.length - at);
            body.write(rest, at, count);
            bytesSent.addAndGet(count);
        }
        body.flush();
    }

    private void pause() {
        try {
            Thread.sleep(pauseMillis);
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }

    private static String gitBlob(byte[] content) {
        MessageDigest digest = algorithm("SHA-1");
        digest.update(("blob " + content.length + "\0").getBytes(StandardCharsets.US_ASCII));
        return HexFormat.of().formatHex(digest.digest(content));
    }

    static String hex(String algorithm, byte[] content) {
        return HexFormat.of().formatHex(algorithm(algorithm).digest(content));
    }

    private static MessageDigest algorithm(String name) {
        try {
            return MessageDigest.getInstance(name);
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
    }
}
