package io.chorale.api;

import io.chorale.access.Identity;
import io.chorale.access.Keyring;
import io.vertx.ext.web.RoutingContext;
import jakarta.annotation.Priority;
import jakarta.enterprise.inject.Instance;
import jakarta.ws.rs.Priorities;
import jakarta.ws.rs.container.ContainerRequestContext;
import jakarta.ws.rs.container.ContainerRequestFilter;
import jakarta.ws.rs.ext.Provider;

/**
 * Lets administrators through: those whose key or token says so. Where nobody's can, there is no administration. Before the
 * body is read.
 */
@Provider
@AdminOnly
@Priority(Priorities.AUTHORIZATION)
public class AdminGate implements ContainerRequestFilter {
    /** Asked for with the first request: filters are made before the settings are read. */
    private final Instance<Keyring> keyrings;

    private final Instance<TokenCheck> tokens;
    private final Instance<RoutingContext> exchanges;

    AdminGate(Instance<Keyring> keyrings, Instance<TokenCheck> tokens, Instance<RoutingContext> exchanges) {
        this.keyrings = keyrings;
        this.tokens = tokens;
        this.exchanges = exchanges;
    }

    @Override
    public void filter(ContainerRequestContext request) {
        if (!keyrings.get().hasAdministrators() && !tokens.get().isOn()) {
            throw Problem.invalid(
                    403,
                    "administration_off",
                    null,
                    "Administration is off on this server: chorale.adapters.admin-key is not set.");
        }
        Identity identity = ApiKeys.of(exchanges.get());
        if (identity.admin()) {
            return;
        }
        if (!identity.id().isEmpty()) {
            throw Problem.invalid(
                    403, "not_an_administrator", null, "This needs an administrator's key, and yours is not one.");
        }
        throw Problem.unauthorized("This needs the admin key: send it as 'Authorization: Bearer KEY'.");
    }
}
