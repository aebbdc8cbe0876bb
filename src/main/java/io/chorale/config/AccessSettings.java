package io.chorale.config;

import io.quarkus.runtime.configuration.MemorySize;
import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithDefault;
import java.nio.file.Path;
import java.util.Optional;

/**
 * The log of administrative calls, and a provider of identities (OpenID Connect). The provider is Quarkus's:
 * quarkus.oidc.tenant-enabled=true, quarkus.oidc.auth-server-url and, so that tokens meant for others are refused,
 * quarkus.oidc.token.audience. Its tokens are sent as "Authorization: Bearer TOKEN", beside keys or in their place.
 */
@ConfigMapping(prefix = "chorale.access")
public interface AccessSettings {
    /** File for a line of JSON for each administrative call, who made it and how it ended. Unset: in the log. */
    Optional<Path> auditFile();

    /** Bytes of that file; then it becomes FILE.1, in place of the one before. */
    @WithDefault("16M")
    MemorySize auditBytesMax();

    /** Claim of a token that names the tenant; parts after a slash lie within. Without it, or in a token without it: "default". */
    @WithDefault("tenant")
    String tenantClaim();

    /** Claim that lists roles; parts after a slash lie within, as in realm_access/roles. */
    @WithDefault("groups")
    String rolesClaim();

    /** The role of administrators. */
    @WithDefault("chorale-admin")
    String adminRole();

    /** Claim that lists the adapters that its holder may use, as in chorale.keys.ID.adapters. A token without it may use all. */
    @WithDefault("adapters")
    String adaptersClaim();
}
