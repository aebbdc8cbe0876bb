package io.chorale.api;

import java.util.HashMap;
import java.util.Map;

/** A provider of identities beside keys. */
public class OidcProfile extends TokensProfile {
    static final MockIssuer ISSUER = MockIssuer.start();

    @Override
    public Map<String, String> getConfigOverrides() {
        Map<String, String> settings = new HashMap<>(super.getConfigOverrides());
        settings.put("quarkus.oidc.tenant-enabled", "true");
        settings.put("quarkus.oidc.auth-server-url", ISSUER.url());
        settings.put("quarkus.oidc.token.audience", "chorale");
        settings.put("chorale.access.roles-claim", "realm_access/roles");
        settings.put("chorale.keys.machine.key", "machine-key");
        settings.put("chorale.tenants.acme.concurrency-max", "1");
        return settings;
    }
}
