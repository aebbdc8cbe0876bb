package io.chorale.api;

import io.quarkus.test.junit.QuarkusTestProfile;
import java.util.HashMap;
import java.util.Map;

/** A simulated engine whose callers have keys, quotas and classes. */
public class TenantsProfile implements QuarkusTestProfile {
    @Override
    public Map<String, String> getConfigOverrides() {
        Map<String, String> settings = new HashMap<>(new TokensProfile().getConfigOverrides());
        settings.put("chorale.engine.simulated.step", "20MS");
        settings.put("chorale.tenants.acme.keys", "acme-1,acme-2");
        settings.put("chorale.tenants.acme.concurrency-max", "2");
        settings.put("chorale.tenants.slow.keys", "slow-1");
        settings.put("chorale.tenants.slow.requests-per-second", "0.2");
        settings.put("chorale.tenants.slow.burst-seconds", "5");
        settings.put("chorale.tenants.gateway.keys", "gateway-1");
        settings.put("chorale.tenants.gateway.trusted", "true");
        settings.put("chorale.tenants.customer.concurrency-max", "1");
        settings.put("chorale.objectives.normal.ttft-min", "1MS");
        return settings;
    }
}
