package io.chorale.api;

import jakarta.enterprise.inject.Instance;
import jakarta.ws.rs.container.ContainerRequestContext;
import jakarta.ws.rs.container.ContainerRequestFilter;
import jakarta.ws.rs.ext.Provider;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Optional;

/**
 * Lets administrators through: those who send the admin key as {@code Authorization: Bearer KEY}. Without a key in the
 * settings nobody is one. Before the body is read.
 */
@Provider
@AdminOnly
public class AdminGate implements ContainerRequestFilter {
    private static final String SCHEME = "Bearer ";

    /** Asked for with the first request: filters are made before the settings are read. */
    private final Instance<Key> keys;

    /** The key in the settings, if any. */
    public record Key(Optional<String> text) {}

    AdminGate(Instance<Key> keys) {
        this.keys = keys;
    }

    @Override
    public void filter(ContainerRequestContext request) {
        Key key = keys.get();
        if (key.text().isEmpty()) {
            throw Problem.invalid(
                    403,
                    "administration_off",
                    null,
                    "Administration is off on this server: chorale.adapters.admin-key is not set.");
        }
        String header = request.getHeaderString("Authorization");
        boolean isBearer = header != null && header.regionMatches(true, 0, SCHEME, 0, SCHEME.length());
        String given = isBearer ? header.substring(SCHEME.length()).strip() : "";
        // Takes as long for a wrong key as for a nearly right one.
        if (!MessageDigest.isEqual(bytes(given), bytes(key.text().get()))) {
            throw Problem.invalid(
                    401, "invalid_api_key", null, "This needs the admin key: send it as 'Authorization: Bearer KEY'.");
        }
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
