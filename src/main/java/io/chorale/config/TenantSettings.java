package io.chorale.config;

import io.chorale.core.model.Priority;
import io.smallrye.config.ConfigMapping;
import io.smallrye.config.WithConverter;
import io.smallrye.config.WithDefault;
import io.smallrye.config.WithParentName;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/**
 * Who may ask, and how much. Once any tenant has a key, requests without one are refused with 401; without keys everybody is
 * the tenant "default". NAME is the tenant's; what is said of "default" holds for all that are not named.
 */
@ConfigMapping(prefix = "chorale.tenants")
public interface TenantSettings {
    /** By name. */
    @WithParentName
    Map<String, Tenant> byName();

    /** One of them. */
    interface Tenant {
        /** API keys that its clients send as "Authorization: Bearer KEY", separated by commas. */
        Optional<List<String>> keys();

        /** Whether its clients may say for which tenant they ask, with x-gateway-inference-fairness-id: for gateways. */
        @WithDefault("false")
        @WithConverter(FlagText.class)
        boolean trusted();

        /** With twice the weight it is served twice as much as others who wait. */
        @WithDefault("1")
        double weight();

        /** The best class of its requests: high, normal or low. */
        @WithDefault("normal")
        Priority priority();

        /** Requests a second. Unset: as many as there are. */
        OptionalDouble requestsPerSecond();

        /** Tokens of prompts and answers a second. Unset: as many as there are. */
        OptionalDouble tokensPerSecond();

        /** For how many seconds of these rates a tenant that was quiet may save up. */
        @WithDefault("10")
        double burstSeconds();

        /** Sequences behind the door at once. Unset: as many as there is room for. */
        OptionalInt concurrencyMax();

        /** Share of the places behind the door, above 0 and up to 1. */
        @WithDefault("1")
        double queueShare();
    }
}
