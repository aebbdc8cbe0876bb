package io.chorale.adapter.source;

import io.chorale.adapter.AdapterRefusal;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * One file on its way from another machine. Each {@link #attempt} goes on where the one before stopped, as long as the file
 * there is the same; redirects are followed only to where the source may send us, and without the source's headers.
 */
final class Download {
    private static final int REDIRECTS_MAX = 5;
    private static final int COPY_BYTES = 1 << 16;
    private static final Pattern SHA256 = Pattern.compile("[0-9a-f]{64}");

    /**
     * What is to be fetched.
     *
     * @param headers for the source itself
     * @param mayGoTo where redirects may lead
     */
    record Wanted(URI uri, Map<String, String> headers, Predicate<URI> mayGoTo) {}

    /** How long to wait for a connection, and for the next bytes. */
    record Patience(Duration connect, Duration stall) {}

    private final Wanted wanted;
    private final Path into;
    private final long bytesMax;
    private final Patience patience;
    private long have;
    private @Nullable String etag;
    private @Nullable String linkedSha256;

    Download(Wanted wanted, Path into, long bytesMax, Patience patience) {
        this.wanted = wanted;
        this.into = into;
        this.bytesMax = bytesMax;
        this.patience = patience;
    }

    /** What the source says the file's SHA-256 is, if it does. */
    Optional<String> toldSha256() {
        return Optional.ofNullable(linkedSha256);
    }

    long bytes() {
        return have;
    }

    /**
     * Fetches what is missing.
     *
     * @throws IOException what may be otherwise the next time
     * @throws AdapterRefusal what will not
     */
    Path attempt() throws IOException, AdapterRefusal {
        URI uri = wanted.uri();
        Map<String, String> headers = wanted.headers();
        for (int hop = 0; hop <= REDIRECTS_MAX; hop++) {
            HttpURLConnection connection = open(uri, headers);
            try {
                int status = connection.getResponseCode();
                keepDigest(connection);
                if (status < 300 || status >= 400) {
                    receive(connection, status);
                    return into;
                }
                uri = redirected(uri, connection.getHeaderField("Location"));
                headers = Map.of();
            } finally {
                connection.disconnect();
            }
        }
        throw new AdapterRefusal(AdapterRefusal.Kind.SOURCE_FAILED, shown() + " redirects again and again");
    }

    private HttpURLConnection open(URI uri, Map<String, String> headers) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) uri.toURL().openConnection();
        connection.setInstanceFollowRedirects(false);
        connection.setConnectTimeout(Math.toIntExact(patience.connect().toMillis()));
        connection.setReadTimeout(Math.toIntExact(patience.stall().toMillis()));
        headers.forEach(connection::setRequestProperty);
        connection.setRequestProperty("Accept-Encoding", "identity");
        if (have > 0 && etag != null) {
            connection.setRequestProperty("Range", "bytes=" + have + "-");
            connection.setRequestProperty("If-Range", etag);
        }
        return connection;
    }

    private URI redirected(URI from, @Nullable String location) throws AdapterRefusal {
        try {
            URI to = from.resolve(location == null ? "" : location);
            if (location != null && (isSamePlace(from, to) || wanted.mayGoTo().test(to))) {
                return to;
            }
            throw new AdapterRefusal(
                    AdapterRefusal.Kind.FORBIDDEN,
                    shown() + " redirects to " + to.getHost() + ", from where nothing may be fetched");
        } catch (IllegalArgumentException malformed) {
            throw new AdapterRefusal(
                    AdapterRefusal.Kind.SOURCE_FAILED, shown() + " redirects to something that is no address");
        }
    }

    private static boolean isSamePlace(URI a, URI b) {
        return String.valueOf(a.getScheme()).equals(b.getScheme())
                && String.valueOf(a.getAuthority()).equals(b.getAuthority());
    }

    private void keepDigest(HttpURLConnection connection) {
        String linked = connection.getHeaderField("X-Linked-Etag");
        String digest = linked == null ? "" : linked.replace("\"", "");
        if (SHA256.matcher(digest).matches()) {
            linkedSha256 = digest;
        }
    }

    private void receive(HttpURLConnection connection, int status) throws IOException, AdapterRefusal {
        switch (status) {
            case 200 -> {
                have = 0;
                etag = connection.getHeaderField("ETag");
            }
            case 206 -> {
                String range = connection.getHeaderField("Content-Range");
                if (range == null || !range.startsWith("bytes " + have + "-")) {
                    have = 0;
                    etag = null;
                    throw new IOException(shown() + " sends another part than was asked for");
                }
            }
            case 404, 410 -> throw new AdapterRefusal(AdapterRefusal.Kind.NOT_FOUND, shown() + " does not exist");
            case 401, 403 ->
                throw new AdapterRefusal(
                        AdapterRefusal.Kind.SOURCE_FAILED, shown() + " does not let us in (status " + status + ")");
            case 408, 425, 429, 500, 502, 503, 504 -> throw new IOException(shown() + " answers " + status);
            default ->
                throw new AdapterRefusal(AdapterRefusal.Kind.SOURCE_FAILED, shown() + " answers with status " + status);
        }
        long length = connection.getContentLengthLong();
        long total = length < 0 ? -1 : have + length;
        if (total > bytesMax) {
            throw tooLarge();
        }
        copy(connection, total);
    }

    private void copy(HttpURLConnection connection, long total) throws IOException, AdapterRefusal {
        StandardOpenOption how = have == 0 ? StandardOpenOption.TRUNCATE_EXISTING : StandardOpenOption.APPEND;
        try (InputStream in = connection.getInputStream();
                OutputStream out =
                        Files.newOutputStream(into, StandardOpenOption.CREATE, StandardOpenOption.WRITE, how)) {
            byte[] buffer = new byte[COPY_BYTES];
            for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
                if (Thread.currentThread().isInterrupted()) {
                    throw new IOException(shown() + " takes too long");
                }
                if (have + count > bytesMax) {
                    throw tooLarge();
                }
                out.write(buffer, 0, count);
                have += count;
            }
        }
        if (total >= 0 && have != total) {
            throw new IOException(shown() + " broke off after " + have + " of " + total + " bytes");
        }
    }

    private AdapterRefusal tooLarge() {
        return new AdapterRefusal(
                AdapterRefusal.Kind.TOO_LARGE, shown() + " is larger than the " + bytesMax + " bytes that are allowed");
    }

    /** Without a query, which may hold a secret. */
    private String shown() {
        URI uri = wanted.uri();
        return uri.getScheme() + "://" + uri.getAuthority() + uri.getPath();
    }

    static Map<String, String> bearer(Optional<String> token) {
        Map<String, String> headers = new HashMap<>();
        token.ifPresent(text -> headers.put("Authorization", "Bearer " + text));
        return headers;
    }
}
