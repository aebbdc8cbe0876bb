package io.chorale.api;

import io.chorale.access.Identity;
import io.smallrye.mutiny.Uni;
import java.util.Optional;

/** Asks a provider of identities about a token. */
public interface TokenCheck {
    /** Whether there is a provider; then requests need a token or a key. */
    boolean isOn();

    /** Whom the provider vouches for; empty where the token is forged, expired or meant for others. */
    Uni<Optional<Identity>> check(String token);
}
