package io.chorale.adapter.source;

import io.chorale.adapter.AdapterRefusal;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.function.LongConsumer;
import java.util.function.Predicate;
import java.util.function.Supplier;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * One file on its way from another machine. Each {@link #attempt} goes on where the one before stopped, as long as the file
 * there is the same; redirects are followed only to where the source may send us, and without the source's headers.
 */
final class Download {
    private static final int REDIRECTS_MAX = 5;
    private static final int COPY_BYTES = 1 << 16;
    private static final int ERROR_CHARS_MAX = 64;

    /** An attempt that broke off has been of use when it brought so much. */
    private static final long PROGRESS_BYTES = 1 << 20;

    private static final Pattern SHA256 = Pattern.compile("[0-9a-f]{64}");

    /**
     * What is to be fetched.
     *
     * @param guard the name of the source whose guard stands before it
     * @param headers for the source itself, as of now
     * @param mayGoTo where redirects may lead
     */
    record Wanted(URI uri, String guard, Supplier<Map<String, String>> headers, Predicate<URI> mayGoTo) {}

    /** How long to wait for a connection, and for the next bytes. */
    record Patience(Duration connect, Duration stall) {}

    private final Wanted wanted;
    private final Path into;
    private final long bytesMax;
    private final Patience patience;
    private LongConsumer gained = bytes -> {};
    private long sliceNanos = Long.MAX_VALUE;
    private boolean isLarge;
    private boolean ignoresRanges;
    private long have;
    private long haveMost;
    private @Nullable String etag;
    private @Nullable String linkedSha256;
    private int status;
    private String errorCode = "";

    Download(Wanted wanted, Path into, long bytesMax, Patience patience) {
        this.wanted = wanted;
        this.into = into;
        this.bytesMax = bytesMax;
        this.patience = patience;
    }

    /**
     * A file of any size, of which a part may be here already; the caller knows its digest, so that nobody need ask whether
     * it is still the same. An attempt ends after a while, or where it breaks off, and the next one goes on: only those that
     * bring nothing are failures.
     *
     * @param slice how long an attempt goes on
     * @param gained is told how many bytes came, or with a minus went
     */
    static Download ofLargeFile(
            Wanted wanted, Path into, long bytesMax, Patience patience, Duration slice, LongConsumer gained)
            throws IOException {
        Download download = new Download(wanted, into, bytesMax, patience);
        download.isLarge = true;
        download.sliceNanos = slice.toNanos();
        download.gained = gained;
        download.have = Files.exists(into) ? Files.size(into) : 0;
        download.haveMost = download.have;
        return download;
    }

    String guard() {
        return wanted.guard();
    }

    /** What the source says the file's SHA-256 is, if it does. */
    Optional<String> toldSha256() {
        return Optional.ofNullable(linkedSha256);
    }

    long bytes() {
        return have;
    }

    /** The last answer's status; 0 where nobody has answered. */
    int status() {
        return status;
    }

    /** The hub's word for what went wrong last, such as RevisionNotFound; empty where it said none. */
    String errorCode() {
        return errorCode;
    }

    /**
     * Fetches what is missing.
     *
     * @return whether that is all; if not, another attempt goes on
     * @throws IOException what may be otherwise the next time
     * @throws AdapterRefusal what will not
     */
    boolean attempt() throws IOException, AdapterRefusal {
        URI uri = wanted.uri();
        Map<String, String> headers = wanted.headers().get();
        for (int hop = 0; hop <= REDIRECTS_MAX; hop++) {
            HttpURLConnection connection = open(uri, headers);
            try {
                status = connection.getResponseCode();
                keepWords(connection);
                if (status < 300 || status >= 400) {
                    return receive(connection);
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
        if (have > 0 && (isLarge || etag != null)) {
            connection.setRequestProperty("Range", "bytes=" + have + "-");
            if (etag != null) {
                connection.setRequestProperty("If-Range", etag);
            }
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

    private void keepWords(HttpURLConnection connection) {
        String linked = connection.getHeaderField("X-Linked-Etag");
        String digest = linked == null ? "" : linked.replace("\"", "");
        if (SHA256.matcher(digest).matches()) {
            linkedSha256 = digest;
        }
        String code = connection.getHeaderField("X-Error-Code");
        errorCode = code == null || code.length() > ERROR_CHARS_MAX ? "" : code;
    }

    private boolean receive(HttpURLConnection connection) throws IOException, AdapterRefusal {
        switch (status) {
            case 200 -> {
                ignoresRanges = have > 0;
                restart();
                etag = connection.getHeaderField("ETag");
            }
            case 206 -> {
                String range = connection.getHeaderField("Content-Range");
                if (range == null || !range.startsWith("bytes " + have + "-")) {
                    restart();
                    throw new IOException(shown() + " sends another part than was asked for");
                }
            }
            case 416 -> {
                restart();
                throw new IOException(shown() + " has less than was there before");
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
        return copy(connection, total);
    }

    private void restart() throws IOException {
        Files.deleteIfExists(into);
        gained.accept(-have);
        have = 0;
        etag = null;
    }

    private boolean copy(HttpURLConnection connection, long total) throws IOException, AdapterRefusal {
        long before = haveMost;
        try (InputStream in = connection.getInputStream();
                OutputStream out = Files.newOutputStream(into, StandardOpenOption.CREATE, StandardOpenOption.APPEND)) {
            if (!copy(in, out)) {
                return false;
            }
            if (total >= 0 && have != total) {
                throw new IOException(shown() + " broke off after " + have + " of " + total + " bytes");
            }
            return true;
        } catch (IOException brokeOff) {
            if (isLarge
                    && haveMost - before >= PROGRESS_BYTES
                    && !Thread.currentThread().isInterrupted()) {
                return false;
            }
            throw brokeOff;
        }
    }

    /** @return whether the end has been reached; otherwise time is up */
    private boolean copy(InputStream in, OutputStream out) throws IOException, AdapterRefusal {
        long start = System.nanoTime();
        byte[] buffer = new byte[COPY_BYTES];
        for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
            if (Thread.currentThread().isInterrupted()) {
                throw new InterruptedIOException(shown() + " takes too long");
            }
            if (have + count > bytesMax) {
                throw tooLarge();
            }
            write(out, buffer, count);
            have += count;
            haveMost = Math.max(haveMost, have);
            gained.accept(count);
            if (System.nanoTime() - start > sliceNanos && !ignoresRanges) {
                return false;
            }
        }
        return true;
    }

    private void write(OutputStream out, byte[] buffer, int count) throws AdapterRefusal {
        try {
            out.write(buffer, 0, count);
        } catch (IOException full) {
            throw new AdapterRefusal(AdapterRefusal.Kind.TOO_LARGE, into + " cannot be written: " + full.getMessage());
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
}
