package io.chorale.config;

import io.chorale.core.admission.TenantTerms;
import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithConverter;
import io.smallrye.config.WithDefault;
import io.smallrye.config.WithParentName;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Keys with a name of their own, for logs, and with less or more rights than a tenant's others. ID is that name. Once anybody
 * but administrators has a key, requests without one are refused with 401.
 */
@ConfigMapping(prefix = "chorale.keys")
public interface KeySettings {
    /** By their names. */
    @WithParentName
    Map<String, Key> byId();

    /** One of them. */
    interface Key {
        /** The key, sent as "Authorization: Bearer KEY"; or "sha256:" and the hexadecimal digest of it. */
        Optional<String> key();

        /** The tenant that its requests count for. */
        @WithDefault(TenantTerms.DEFAULT_TENANT)
        String tenant();

        /** Whether its holder may change what is served. */
        @WithDefault("false")
        @WithConverter(FlagText.class)
        boolean admin();

        /** Adapters and aliases that it may use, by name, or by the beginning of names and a star; the others do not exist for it. Unset: all. */
        Optional<List<String>> adapters();
    }
}
