package io.chorale.api;

import io.chorale.access.Identity;
import io.chorale.core.admission.Objective;
import io.chorale.core.model.Priority;
import io.chorale.serving.Tenant;
import io.chorale.serving.Tenants;
import io.vertx.ext.web.RoutingContext;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Tells for whom a request is, from who sent it and what its headers say. */
public final class Callers {
    private static final String FAIRNESS_ID = "x-gateway-inference-fairness-id";
    private static final String TTFT = "x-slo-ttft-ms";
    private static final long NANOS_PER_MILLI = 1_000_000;
    private static final long TTFT_MILLIS_MAX = 86_400_000;

    private final Tenants tenants;
    private volatile Map<Priority, Objective> objectives;

    public Callers(Tenants tenants, Map<Priority, Objective> objectives) {
        this.tenants = tenants;
        this.objectives = objectives;
    }

    /** From now on these are the objectives that requests may have. */
    public void replace(Map<Priority, Objective> newer) {
        objectives = newer;
    }

    /** @throws Problem when a header makes no sense */
    Caller of(RoutingContext exchange) {
        Identity identity = ApiKeys.of(exchange);
        Tenant payer = tenants.of(identity.tenant());
        String named = exchange.request().getHeader(FAIRNESS_ID);
        Tenant tenant =
                identity.trusted() && named != null && Tenants.isName(named) ? tenants.named(named, payer) : payer;
        return new Caller(
                tenant, identity.adapters(), ttftNanos(exchange.request().getHeader(TTFT)), objectives);
    }

    private static long ttftNanos(@Nullable String header) {
        if (header == null || header.isBlank()) {
            return 0;
        }
        try {
            long millis = Long.parseLong(header.strip());
            if (millis > 0 && millis <= TTFT_MILLIS_MAX) {
                return millis * NANOS_PER_MILLI;
            }
        } catch (NumberFormatException notANumber) {
            // Refused below, like a number that makes no sense.
        }
        throw Problem.badValue(
                TTFT, "'" + TTFT + "' must be a number of milliseconds between 1 and " + TTFT_MILLIS_MAX + ".");
    }
}
