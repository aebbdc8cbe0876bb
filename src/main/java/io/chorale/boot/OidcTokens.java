package io.chorale.boot;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.chorale.access.AdapterScope;
import io.chorale.access.Identity;
import io.chorale.api.TokenCheck;
import io.chorale.config.AccessSettings;
import io.chorale.core.admission.TenantTerms;
import io.chorale.serving.Tenants;
import io.quarkus.oidc.AccessTokenCredential;
import io.quarkus.oidc.TenantIdentityProvider;
import io.quarkus.security.AuthenticationFailedException;
import io.smallrye.mutiny.Uni;
import jakarta.enterprise.inject.Instance;
import jakarta.inject.Singleton;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Optional;
import org.eclipse.microprofile.config.inject.ConfigProperty;
import org.jboss.logging.Logger;

/**
 * Tokens of an OpenID Connect provider. Quarkus checks signature, issuer, audience and times; what the claims say becomes a
 * tenant, a role and a scope here.
 */
@Singleton
public class OidcTokens implements TokenCheck {
    private static final Logger LOG = Logger.getLogger("io.chorale");
    private static final ObjectMapper JSON = new ObjectMapper();

    private final boolean on;
    private final Instance<TenantIdentityProvider> provider;
    private final AccessSettings claims;

    OidcTokens(
            @ConfigProperty(name = "quarkus.oidc.tenant-enabled", defaultValue = "false") boolean on,
            Instance<TenantIdentityProvider> provider,
            AccessSettings claims) {
        this.on = on;
        this.provider = provider;
        this.claims = claims;
    }

    @Override
    public boolean isOn() {
        return on;
    }

    @Override
    public Uni<Optional<Identity>> check(String token) {
        return provider.get()
                .authenticate(new AccessTokenCredential(token))
                .map(checked -> identity(payload(token)))
                .onFailure(AuthenticationFailedException.class)
                .recoverWithItem(refused -> {
                    LOG.debugf("a token was refused: %s", refused.getMessage());
                    return Optional.empty();
                });
    }

    /** Of a token that was checked. */
    private static JsonNode payload(String token) {
        try {
            return JSON.readTree(Base64.getUrlDecoder().decode(token.split("\\.", -1)[1]));
        } catch (IOException | IllegalArgumentException unreadable) {
            throw new AuthenticationFailedException(unreadable);
        }
    }

    private Optional<Identity> identity(JsonNode payload) {
        String subject = payload.path("sub").asText("");
        String tenant = at(payload, claims.tenantClaim()).asText("");
        List<String> adapters = texts(at(payload, claims.adaptersClaim()));
        boolean admin = texts(at(payload, claims.rolesClaim())).contains(claims.adminRole());
        boolean scoped = !admin && !at(payload, claims.adaptersClaim()).isMissingNode();
        if (!Tenants.isName(subject) || (!tenant.isEmpty() && !Tenants.isName(tenant))) {
            return Optional.empty();
        }
        return Optional.of(new Identity(
                "oidc:" + subject,
                tenant.isEmpty() ? TenantTerms.DEFAULT_TENANT : tenant,
                false,
                admin,
                scoped ? new AdapterScope.Only(adapters) : AdapterScope.ALL));
    }

    /** A claim, or one within another. */
    private static JsonNode at(JsonNode payload, String path) {
        JsonNode found = payload;
        for (String part : path.split("/", -1)) {
            found = found.path(part);
        }
        return found;
    }

    /** A list of texts, or one text whose words are meant, as in {@code scope}. */
    private static List<String> texts(JsonNode claim) {
        if (claim.isTextual()) {
            return List.of(claim.asText().split(" ", -1));
        }
        List<String> texts = new ArrayList<>();
        claim.forEach(text -> texts.add(text.asText()));
        return texts;
    }
}
