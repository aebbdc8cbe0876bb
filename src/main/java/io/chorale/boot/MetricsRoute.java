package io.chorale.boot;

import io.chorale.access.AdapterScope;
import io.chorale.access.Identity;
import io.chorale.access.Keyring;
import io.chorale.api.ApiKeys;
import io.chorale.ops.VllmMetrics;
import io.micrometer.prometheus.PrometheusMeterRegistry;
import io.vertx.ext.web.Router;
import io.vertx.ext.web.RoutingContext;
import jakarta.enterprise.event.Observes;
import jakarta.inject.Singleton;
import java.time.InstantSource;
import java.util.List;

/** {@code /metrics}, where gateways look: what {@code /q/metrics} says, and the same under vLLM's names. */
@Singleton
@SuppressWarnings("deprecation") // the registry that Quarkus makes is of Micrometer's older client
public class MetricsRoute {
    private static final AdapterScope NONE = new AdapterScope.Only(List.of());
    private static final String TEXT = "text/plain; version=0.0.4; charset=utf-8";

    private final PrometheusMeterRegistry registry;
    private final VllmMetrics vllm;
    private final Keyring keyring;
    private final InstantSource wallClock = InstantSource.system();

    MetricsRoute(PrometheusMeterRegistry registry, VllmMetrics vllm, Keyring keyring) {
        this.registry = registry;
        this.vllm = vllm;
        this.keyring = keyring;
    }

    void register(@Observes Router router) {
        // Thousands of lines are no work for an event loop that has streams to serve.
        router.get("/metrics").blockingHandler(this::scrape, false);
    }

    /** Names of adapters are for those who may use them, once anybody may not use all. */
    private AdapterScope shown(RoutingContext context) {
        if (!keyring.hasScopes()) {
            return AdapterScope.ALL;
        }
        return keyring.find(ApiKeys.bearer(context)).map(Identity::adapters).orElse(NONE);
    }

    private void scrape(RoutingContext context) {
        double now = wallClock.millis() / 1e3;
        context.response().putHeader("Content-Type", TEXT).end(registry.scrape(TEXT) + vllm.text(now, shown(context)));
    }
}
