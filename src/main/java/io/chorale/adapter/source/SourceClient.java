package io.chorale.adapter.source;

import io.chorale.adapter.AdapterRefusal;
import io.chorale.adapter.AdapterRefusal.Kind;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Path;
import java.time.InstantSource;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The way to other machines: a source must begin with one of the allowed prefixes, and so must whatever it redirects to;
 * each source has a guard of its own, whatever is fetched from it. Any thread.
 */
public final class SourceClient {
    private static final Pattern REMOTE = Pattern.compile("(hf|https?|s3)://.*", Pattern.DOTALL);
    private static final Pattern BUCKET =
            Pattern.compile("s3://([a-z0-9][a-z0-9.-]{1,62})/([A-Za-z0-9_./=+-]{1,1024})");

    private final SourceRules rules;
    private final Function<String, SourceGuard> guards;
    private final InstantSource clock;
    private final Map<String, SourceGuard> guardOf = new ConcurrentHashMap<>();

    /** @param guards makes the guard of a source, once each */
    SourceClient(SourceRules rules, Function<String, SourceGuard> guards, InstantSource clock) {
        this.rules = rules;
        this.guards = guards;
        this.clock = clock;
    }

    /** Fetches with SmallRye Fault Tolerance between us and the sources. */
    public static SourceClient guarded(SourceRules rules, FaultTolerance faultTolerance) {
        return new SourceClient(rules, faultTolerance::guard, InstantSource.system());
    }

    /** Whether this is the name of something on another machine, wanted or not. */
    static boolean knows(String source) {
        return REMOTE.matcher(source).matches();
    }

    void requireAllowed(String source, String what) throws AdapterRefusal {
        if (!isAllowed(source)) {
            throw new AdapterRefusal(Kind.FORBIDDEN, what + " not fetched from there (chorale.sources.allowed)");
        }
    }

    private boolean isAllowed(String source) {
        String lower = source.toLowerCase(Locale.ROOT);
        // Dots that lead out of an allowed path, plainly or encoded; and names and keys before the host.
        boolean isTwisted = lower.contains("/../") || lower.endsWith("/..") || lower.contains("%");
        boolean hasUser = lower.contains("@") && !lower.startsWith("hf://");
        return !isTwisted
                && !hasUser
                && source.indexOf('\\') < 0
                && rules.allowed().stream().anyMatch(source::startsWith);
    }

    /** The hub's address, for people. */
    URI hub() {
        return rules.hub();
    }

    /** @param path after the hub's address */
    Download.Wanted onHub(String path) {
        Map<String, String> headers = rules.hubToken()
                .map(token -> Map.of("Authorization", "Bearer " + token))
                .orElse(Map.of());
        return new Download.Wanted(
                URI.create(rules.hub() + path),
                "hf " + rules.hub().getAuthority(),
                () -> headers,
                uri -> isHubHost(uri) && isAsSafe(uri));
    }

    private boolean isHubHost(URI uri) {
        String host = uri.getHost() == null ? "" : uri.getHost();
        return host.equals(rules.hub().getHost())
                || rules.hubRedirects().stream()
                        .anyMatch(allowed -> allowed.startsWith(".") ? host.endsWith(allowed) : host.equals(allowed));
    }

    /** From https only to https. */
    private boolean isAsSafe(URI uri) {
        return "https".equals(uri.getScheme()) || "http".equals(rules.hub().getScheme());
    }

    /** A file on the web or in a bucket. */
    Download.Wanted at(String source) throws AdapterRefusal {
        return source.startsWith("s3://") ? inBucket(source) : onWeb(source);
    }

    private Download.Wanted onWeb(String source) throws AdapterRefusal {
        URI uri = address(source);
        return new Download.Wanted(uri, guardName(uri), Map::of, other -> isAllowed(other.toString()));
    }

    private Download.Wanted inBucket(String source) throws AdapterRefusal {
        Matcher name = BUCKET.matcher(source);
        if (!name.matches()) {
            throw new AdapterRefusal(Kind.MALFORMED, "a source in a bucket is written s3://BUCKET/KEY");
        }
        URI uri = rules.s3Endpoint().isPresent()
                ? address(rules.s3Endpoint().get() + "/" + name.group(1) + "/" + name.group(2))
                : address("https://" + name.group(1) + ".s3." + rules.s3Region() + ".amazonaws.com/" + name.group(2));
        return new Download.Wanted(uri, guardName(uri), () -> signature(uri), other -> false);
    }

    private Map<String, String> signature(URI uri) {
        if (rules.s3AccessKey().isEmpty() || rules.s3SecretKey().isEmpty()) {
            return Map.of();
        }
        S3Signature.Credentials credentials = new S3Signature.Credentials(
                rules.s3AccessKey().get(), rules.s3SecretKey().get(), rules.s3Region());
        return S3Signature.headers(uri, credentials, clock.instant());
    }

    private static String guardName(URI uri) {
        return uri.getScheme() + " " + uri.getAuthority();
    }

    private static URI address(String text) throws AdapterRefusal {
        try {
            URI uri = URI.create(text);
            if (uri.getHost() != null) {
                return uri;
            }
        } catch (IllegalArgumentException malformed) {
            // Refused like an address without a host.
        }
        throw new AdapterRefusal(Kind.MALFORMED, "the source is not an address");
    }

    Download download(Download.Wanted wanted, Path into, long bytesMax) {
        return new Download(wanted, into, bytesMax, patience());
    }

    Download.Patience patience() {
        return new Download.Patience(rules.connectTimeout(), rules.stallTimeout());
    }

    /** Fetches all that is missing, with as many tries as the source's guard allows. */
    void complete(Download download) throws AdapterRefusal {
        String source = download.guard();
        try {
            SourceGuard guard = guardOf.computeIfAbsent(source, guards);
            boolean isWhole = false;
            while (!isWhole) {
                isWhole = guard.call(download::attempt, Boolean.class);
            }
        } catch (AdapterRefusal refusal) {
            throw refusal;
        } catch (Exception failed) {
            // What the guard throws, too: time is up, all places are taken, or the source has failed too often.
            String why = failed.getMessage() == null ? failed.getClass().getSimpleName() : failed.getMessage();
            throw new AdapterRefusal(Kind.SOURCE_FAILED, "the source " + source + " failed: " + why);
        }
    }

    /** @throws AdapterRefusal where the file is another than was promised */
    static void check(ContentDigest expected, Path file, String name) throws IOException, AdapterRefusal {
        String found = expected.kind().of(file);
        if (!found.equalsIgnoreCase(expected.hex())) {
            throw new AdapterRefusal(
                    Kind.SOURCE_FAILED,
                    name + " has the " + expected.kind() + " " + found + ", not " + expected.hex() + " as it should");
        }
    }
}
