package io.chorale.api;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Turns the {@code cache_salt} of a request, which is any text, into a number: by a keyed hash, so that nobody finds a text
 * that gives another's number. Tenants are kept apart without it.
 */
final class CacheSalts {
    private static final String ALGORITHM = "HmacSHA256";
    private static final int KEY_BYTES = 32;
    private static final int CHARS_MAX = 1_024;

    private final SecretKeySpec key;

    CacheSalts() {
        byte[] bytes = new byte[KEY_BYTES];
        new SecureRandom().nextBytes(bytes);
        key = new SecretKeySpec(bytes, ALGORITHM);
    }

    /** 0 where the request has none. */
    long of(Fields body) {
        String salt = body.text("cache_salt");
        if (salt == null) {
            return 0;
        }
        if (salt.isEmpty() || salt.length() > CHARS_MAX) {
            throw Problem.badValue("cache_salt", "'cache_salt' must have between 1 and " + CHARS_MAX + " characters.");
        }
        long number = hash(salt);
        return number == 0 ? 1 : number;
    }

    private long hash(String salt) {
        try {
            Mac mac = Mac.getInstance(ALGORITHM);
            mac.init(key);
            return ByteBuffer.wrap(mac.doFinal(salt.getBytes(StandardCharsets.UTF_8)))
                    .getLong();
        } catch (GeneralSecurityException missing) {
            throw new IllegalStateException("every Java has " + ALGORITHM, missing);
        }
    }
}
