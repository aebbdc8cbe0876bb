package io.chorale.api;

import io.chorale.access.Identity;
import io.chorale.access.Keyring;
import io.smallrye.mutiny.Uni;
import io.vertx.core.http.HttpMethod;
import io.vertx.ext.web.RoutingContext;
import jakarta.ws.rs.core.Response;
import java.time.Duration;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import org.jboss.logging.Logger;
import org.jboss.resteasy.reactive.server.ServerRequestFilter;
import org.jspecify.annotations.Nullable;

/**
 * Finds out who asks, before anything of the request is read: the holder of the key, or whom a provider of identities vouches
 * for. Where keys are configured, requests without a valid one are turned away. Pages, probes and metrics need none; nor does
 * listening to a stream, whose id cannot be guessed.
 */
public class ApiKeys {
    private static final String BEARER = "Bearer ";

    /** All else needs a key, also what is not there: a path that was forgotten here is closed. */
    private static final Set<String> OPEN = Set.of("/health", "/health/", "/version", "/version/");

    private static final String STREAMS = "/v1/streams/";
    private static final Logger LOG = Logger.getLogger(ApiKeys.class);
    private static final Duration RETRY_SOON = Duration.ofSeconds(1);
    private static final String IDENTITY = ApiKeys.class.getName();

    /** Three parts; a key that has them too is found before it is taken for a token. */
    private static final Pattern TOKEN = Pattern.compile("[\\w-]+\\.[\\w-]+\\.[\\w-]+");

    private final Keyring keyring;
    private final TokenCheck tokens;

    ApiKeys(Keyring keyring, TokenCheck tokens) {
        this.keyring = keyring;
        this.tokens = tokens;
    }

    /** Who sent the request, as far as it was found out. */
    static Identity of(RoutingContext exchange) {
        Identity identity = exchange.get(IDENTITY);
        return identity == null ? Identity.ANYBODY : identity;
    }

    /** What stands in the header as a key or token; empty: nothing. */
    public static String bearer(RoutingContext exchange) {
        String header = exchange.request().getHeader("Authorization");
        return header != null && header.regionMatches(true, 0, BEARER, 0, BEARER.length())
                ? header.substring(BEARER.length()).strip()
                : "";
    }

    @ServerRequestFilter(preMatching = true)
    @Nullable
    Uni<Response> check(RoutingContext exchange) {
        String bearer = bearer(exchange);
        Optional<Identity> holder = keyring.find(bearer);
        if (holder.isPresent()) {
            exchange.put(IDENTITY, holder.get());
            return null;
        }
        if (tokens.isOn() && TOKEN.matcher(bearer).matches()) {
            return tokens.check(bearer)
                    .onFailure()
                    .transform(ApiKeys::unchecked)
                    .map(vouched -> {
                        vouched.ifPresent(identity -> exchange.put(IDENTITY, identity));
                        return vouched.isPresent() ? null : refusal(exchange, "The token is not valid.");
                    });
        }
        Response refusal = refusal(
                exchange,
                exchange.request().getHeader("Authorization") == null
                        ? "You didn't provide an API key: send it in the header 'Authorization: Bearer KEY'."
                        : "The API key is not valid.");
        return refusal == null ? null : Uni.createFrom().item(refusal);
    }

    private static Problem unchecked(Throwable failure) {
        LOG.warnf("a token could not be checked: %s", failure.getMessage());
        return Problem.overloaded(
                503, "identity_unavailable", "The token could not be checked. Please try again.", RETRY_SOON);
    }

    /** Null: it needs no key. */
    private @Nullable Response refusal(RoutingContext exchange, String message) {
        // As endpoints are looked for: /%761/models and //v1/models are /v1/models too.
        String path = exchange.normalizedPath();
        boolean open = OPEN.contains(path)
                || (path.startsWith(STREAMS) && exchange.request().method().equals(HttpMethod.GET));
        boolean wanted = keyring.wantsKeys() || tokens.isOn();
        return open || !wanted ? null : ProblemMapper.response(Problem.unauthorized(message));
    }
}
