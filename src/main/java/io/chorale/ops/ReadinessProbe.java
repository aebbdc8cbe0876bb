package io.chorale.ops;

import io.chorale.serving.Lifecycle;
import jakarta.enterprise.context.ApplicationScoped;
import org.eclipse.microprofile.health.HealthCheck;
import org.eclipse.microprofile.health.HealthCheckResponse;
import org.eclipse.microprofile.health.Readiness;

/** Up while requests are accepted. */
@Readiness
@ApplicationScoped
public class ReadinessProbe implements HealthCheck {
    private final Lifecycle lifecycle;

    public ReadinessProbe(Lifecycle lifecycle) {
        this.lifecycle = lifecycle;
    }

    @Override
    public HealthCheckResponse call() {
        Lifecycle.State state = lifecycle.state();
        return HealthCheckResponse.named("accepting-requests")
                .status(state == Lifecycle.State.SERVING)
                .withData("state", state.name())
                .build();
    }
}
