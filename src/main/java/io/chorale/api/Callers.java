package io.chorale.api;

import io.chorale.core.admission.Objective;
import io.chorale.core.model.Priority;
import io.chorale.serving.Tenant;
import io.chorale.serving.Tenants;
import io.vertx.core.http.HttpServerRequest;
import java.util.Map;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Tells from a request's headers who asks. */
public final class Callers {
    private static final String BEARER = "Bearer ";
    private static final String FAIRNESS_ID = "x-gateway-inference-fairness-id";
    private static final String TTFT = "x-slo-ttft-ms";
    private static final Pattern USABLE_NAME = Pattern.compile("[\\x21-\\x7E]{1,256}");
    private static final long NANOS_PER_MILLI = 1_000_000;
    private static final long TTFT_MILLIS_MAX = 86_400_000;

    private final Tenants tenants;
    private final Map<Priority, Objective> objectives;

    public Callers(Tenants tenants, Map<Priority, Objective> objectives) {
        this.tenants = tenants;
        this.objectives = objectives;
    }

    /** @throws Problem when a key is wanted and this is none, or a header makes no sense */
    Caller of(HttpServerRequest http) {
        Tenants.Caller caller = identified(http);
        String named = http.getHeader(FAIRNESS_ID);
        Tenant tenant =
                caller.trusted() && named != null && USABLE_NAME.matcher(named).matches()
                        ? tenants.named(named, caller.tenant())
                        : caller.tenant();
        return new Caller(tenant, ttftNanos(http.getHeader(TTFT)), objectives);
    }

    /** Who sent the request. */
    Tenants.Caller identified(HttpServerRequest http) {
        if (!tenants.wantsKeys()) {
            return tenants.withoutKey();
        }
        String header = http.getHeader("Authorization");
        if (header == null) {
            throw Problem.unauthorized(
                    "You didn't provide an API key: send it in the header 'Authorization: Bearer KEY'.");
        }
        boolean bearer = header.regionMatches(true, 0, BEARER, 0, BEARER.length());
        return tenants.withKey(bearer ? header.substring(BEARER.length()).strip() : "")
                .orElseThrow(() -> Problem.unauthorized("The API key is not valid."));
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
