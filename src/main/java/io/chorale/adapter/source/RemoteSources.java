package io.chorale.adapter.source;

import io.chorale.adapter.AdapterArchive;
import io.chorale.adapter.AdapterRefusal;
import io.chorale.adapter.AdapterRefusal.Kind;
import io.chorale.adapter.AdapterSources;
import io.chorale.adapter.FileRejectedException;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.time.InstantSource;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Fetches adapters from where the operator allows it:
 *
 * <pre>
 * hf://ORG/NAME or hf://ORG/NAME@REVISION    the two files of a repository of the Hugging Face hub
 * https://HOST/PATH, http://HOST/PATH        an archive, which must have a given SHA-256
 * s3://BUCKET/KEY                            the same in a bucket
 * </pre>
 *
 * A source must begin with one of the allowed prefixes, and so must whatever it redirects to.
 */
public final class RemoteSources implements AdapterSources {
    private static final String CONFIG = "adapter_config.json";
    private static final String WEIGHTS = "adapter_model.safetensors";
    private static final long CONFIG_BYTES_MAX = 16L << 20;
    private static final Pattern REMOTE = Pattern.compile("(hf|https?|s3)://.*", Pattern.DOTALL);
    private static final Pattern HUB = Pattern.compile(
            "hf://([A-Za-z0-9][\\w.-]{0,95})/([A-Za-z0-9][\\w.-]{0,95})(?:@([A-Za-z0-9][\\w./-]{0,127}))?");
    private static final Pattern BUCKET =
            Pattern.compile("s3://([a-z0-9][a-z0-9.-]{1,62})/([A-Za-z0-9_./=+-]{1,1024})");
    private static final int COPY_BYTES = 1 << 16;

    /**
     * What may be fetched, and with which rights.
     *
     * @param allowed beginnings of sources, each with a final slash
     * @param hub address of the hub
     * @param hubToken sent to the hub alone
     * @param hubRedirects hosts that the hub keeps its files on; one that begins with a dot stands for all under it
     * @param s3Endpoint of a service other than Amazon's
     */
    public record Rules(
            List<String> allowed,
            URI hub,
            Optional<String> hubToken,
            List<String> hubRedirects,
            Optional<URI> s3Endpoint,
            String s3Region,
            Optional<String> s3AccessKey,
            Optional<String> s3SecretKey,
            Duration connectTimeout,
            Duration stallTimeout) {}

    private final Rules rules;
    private final Function<String, SourceGuard> guards;
    private final InstantSource clock;
    private final Map<String, SourceGuard> guardOf = new ConcurrentHashMap<>();

    /** @param guards makes the guard of a source, once each */
    public RemoteSources(Rules rules, Function<String, SourceGuard> guards, InstantSource clock) {
        this.rules = rules;
        this.guards = guards;
        this.clock = clock;
    }

    /** Fetches with SmallRye Fault Tolerance between us and the sources. */
    public static RemoteSources guarded(Rules rules, FaultTolerance faultTolerance) {
        return new RemoteSources(rules, faultTolerance::guard, InstantSource.system());
    }

    @Override
    public boolean knows(String source) {
        return REMOTE.matcher(source).matches();
    }

    @Override
    public void fetch(String source, Optional<String> sha256, Path into, long bytesMax)
            throws AdapterRefusal, FileRejectedException, IOException {
        if (!isAllowed(source)) {
            throw new AdapterRefusal(Kind.FORBIDDEN, "adapters are not fetched from there (chorale.sources.allowed)");
        }
        if (source.startsWith("hf://")) {
            fromHub(source, sha256, into, bytesMax);
        } else {
            String digest = sha256.orElseThrow(
                    () -> new AdapterRefusal(Kind.MALFORMED, "a source of this kind needs its 'sha256'"));
            archive(source.startsWith("s3://") ? bucket(source) : web(source), digest, into, bytesMax);
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

    private void fromHub(String source, Optional<String> sha256, Path into, long bytesMax)
            throws AdapterRefusal, IOException {
        Matcher name = HUB.matcher(source);
        if (!name.matches() || source.contains("..")) {
            throw new AdapterRefusal(Kind.MALFORMED, "a source on the hub is written hf://ORG/NAME@REVISION");
        }
        String revision = Optional.ofNullable(name.group(3)).orElse("main");
        String base = rules.hub() + "/" + name.group(1) + "/" + name.group(2) + "/resolve/" + revision + "/";
        Map<String, String> headers = Download.bearer(rules.hubToken());
        Predicate<URI> mayGoTo = uri -> isHubHost(uri) && isAsSafe(uri);
        String guard = "hf " + rules.hub().getAuthority();
        Download config = fetch(
                new Download.Wanted(URI.create(base + CONFIG), headers, mayGoTo),
                into.resolve(CONFIG),
                Math.min(bytesMax, CONFIG_BYTES_MAX),
                guard);
        Download weights = fetch(
                new Download.Wanted(URI.create(base + WEIGHTS), headers, mayGoTo),
                into.resolve(WEIGHTS),
                bytesMax - config.bytes(),
                guard);
        Optional<String> expected = sha256.or(weights::toldSha256);
        if (expected.isPresent()) {
            checkDigest(into.resolve(WEIGHTS), expected.get(), base + WEIGHTS);
        }
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

    private Download.Wanted web(String source) throws AdapterRefusal {
        return new Download.Wanted(address(source), Map.of(), uri -> isAllowed(uri.toString()));
    }

    private Download.Wanted bucket(String source) throws AdapterRefusal {
        Matcher name = BUCKET.matcher(source);
        if (!name.matches()) {
            throw new AdapterRefusal(Kind.MALFORMED, "a source in a bucket is written s3://BUCKET/KEY");
        }
        URI uri = rules.s3Endpoint().isPresent()
                ? address(rules.s3Endpoint().get() + "/" + name.group(1) + "/" + name.group(2))
                : address("https://" + name.group(1) + ".s3." + rules.s3Region() + ".amazonaws.com/" + name.group(2));
        Map<String, String> headers = rules.s3AccessKey().isPresent()
                        && rules.s3SecretKey().isPresent()
                ? S3Signature.headers(
                        uri,
                        new S3Signature.Credentials(
                                rules.s3AccessKey().get(), rules.s3SecretKey().get(), rules.s3Region()),
                        clock.instant())
                : Map.of();
        return new Download.Wanted(uri, headers, other -> false);
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

    private void archive(Download.Wanted wanted, String sha256, Path into, long bytesMax)
            throws AdapterRefusal, FileRejectedException, IOException {
        Path archive = into.resolve("archive");
        fetch(
                wanted,
                archive,
                bytesMax,
                wanted.uri().getScheme() + " " + wanted.uri().getAuthority());
        checkDigest(archive, sha256, wanted.uri().getPath());
        try (InputStream in = Files.newInputStream(archive)) {
            AdapterArchive.unpack(in, into, bytesMax);
        } catch (AdapterArchive.TooLargeException tooLarge) {
            throw new AdapterRefusal(Kind.TOO_LARGE, String.valueOf(tooLarge.getMessage()));
        }
        Files.delete(archive);
    }

    private Download fetch(Download.Wanted wanted, Path into, long bytesMax, String source)
            throws AdapterRefusal, IOException {
        Download download = new Download(
                wanted, into, bytesMax, new Download.Patience(rules.connectTimeout(), rules.stallTimeout()));
        try {
            guardOf.computeIfAbsent(source, guards).call(download::attempt, Path.class);
            return download;
        } catch (AdapterRefusal refusal) {
            throw refusal;
        } catch (Exception failed) {
            // What the guard throws, too: time is up, all places are taken, or the source has failed too often.
            String why = failed.getMessage() == null ? failed.getClass().getSimpleName() : failed.getMessage();
            throw new AdapterRefusal(Kind.SOURCE_FAILED, "the source " + source + " failed: " + why);
        }
    }

    private static void checkDigest(Path file, String expected, String name) throws IOException, AdapterRefusal {
        MessageDigest digest;
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException("every Java has SHA-256", impossible);
        }
        try (InputStream in = Files.newInputStream(file)) {
            byte[] buffer = new byte[COPY_BYTES];
            for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
                digest.update(buffer, 0, count);
            }
        }
        String found = HexFormat.of().formatHex(digest.digest());
        if (!found.equalsIgnoreCase(expected)) {
            throw new AdapterRefusal(
                    Kind.SOURCE_FAILED, name + " has the SHA-256 " + found + ", not " + expected + " as it should");
        }
    }
}
