package io.chorale.access;

import io.chorale.core.model.Check;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * All keys, and who holds them. Kept and looked up by digest, so that neither memory nor timing gives them away. Replaced as
 * a whole; any thread.
 */
public final class Keyring {
    private static final String HASHED = "sha256:";
    private static final int DIGEST_CHARS = 64;

    /**
     * A key.
     *
     * @param key as it is sent, or {@code sha256:} and the digest of that in hexadecimal
     */
    public record Entry(String key, Identity holder) {
        @Override
        public String toString() {
            return "Entry[holder=" + holder + "]";
        }
    }

    private record Keys(Map<String, Identity> byDigest, boolean wanted, boolean administrable) {}

    private volatile Keys keys;

    public Keyring(List<Entry> entries) {
        keys = keys(entries);
    }

    /**
     * From now on these are the keys, and no others.
     *
     * @throws IllegalArgumentException where keys are wanted now and would not be any more: a file that lost its end must
     *     not let everybody in
     */
    public void replace(List<Entry> entries) {
        Keys next = keys(entries);
        Check.argument(
                next.wanted() || !keys.wanted(),
                () -> "nobody but administrators has a key any more; to serve without keys takes a restart");
        keys = next;
    }

    private static Keys keys(List<Entry> entries) {
        Map<String, Identity> byDigest = new HashMap<>();
        for (Entry entry : entries) {
            Identity before = byDigest.put(digestOf(entry.key()), entry.holder());
            Check.argument(before == null, () -> "a key of " + entry.holder().id() + " is another's too");
        }
        return new Keys(
                Map.copyOf(byDigest),
                byDigest.values().stream().anyMatch(holder -> !holder.admin()),
                byDigest.values().stream().anyMatch(Identity::admin));
    }

    /** Whether a request without a valid key is turned away: once anybody but administrators has one. */
    public boolean wantsKeys() {
        return keys.wanted();
    }

    /** Whether anybody has a key for administration. */
    public boolean hasAdministrators() {
        return keys.administrable();
    }

    /** Whether some may see less than others. */
    public boolean hasScopes() {
        return keys.byDigest().values().stream().anyMatch(holder -> holder.adapters() != AdapterScope.ALL);
    }

    /** @param key as it was sent */
    public Optional<Identity> find(String key) {
        return Optional.ofNullable(keys.byDigest().get(sha256(key)));
    }

    /** Whether a setting is a key, or a digest as it should be. */
    public static boolean isUsable(String key) {
        return !key.isBlank()
                && (!key.startsWith(HASHED)
                        || key.substring(HASHED.length()).matches("[0-9a-fA-F]{" + DIGEST_CHARS + "}"));
    }

    /** The digest that a key of the settings is kept by: two settings with the same one are the same key. */
    public static String digestOf(String key) {
        return key.startsWith(HASHED) ? key.substring(HASHED.length()).toLowerCase(Locale.ROOT) : sha256(key);
    }

    private static String sha256(String key) {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(key.getBytes(StandardCharsets.UTF_8));
            return HexFormat.of().formatHex(digest);
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException("every Java has SHA-256", impossible);
        }
    }
}
