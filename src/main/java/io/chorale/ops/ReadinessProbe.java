package io.chorale.ops;

import io.chorale.serving.Lifecycle;
import jakarta.enterprise.context.ApplicationScoped;
import java.util.List;
import org.eclipse.microprofile.health.HealthCheck;
import org.eclipse.microprofile.health.HealthCheckResponse;
import org.eclipse.microprofile.health.Readiness;

/** Up while requests are accepted, from when the pinned adapters are in host memory. */
@Readiness
@ApplicationScoped
public class ReadinessProbe implements HealthCheck {
    private final Lifecycle lifecycle;
    private final HotAdapters hot;

    public ReadinessProbe(Lifecycle lifecycle, HotAdapters hot) {
        this.lifecycle = lifecycle;
        this.hot = hot;
    }

    @Override
    public HealthCheckResponse call() {
        Lifecycle.State state = lifecycle.state();
        boolean serving = state == Lifecycle.State.SERVING;
        List<String> awaited = serving ? hot.awaited() : List.of();
        return HealthCheckResponse.named("accepting-requests")
                .status(serving && awaited.isEmpty())
                .withData("state", state.name())
                .withData("adapters-awaited", awaited.size())
                .build();
    }
}
