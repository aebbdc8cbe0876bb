package io.chorale.ops;

import io.chorale.serving.Lifecycle;
import jakarta.enterprise.context.ApplicationScoped;
import org.eclipse.microprofile.health.HealthCheck;
import org.eclipse.microprofile.health.HealthCheckResponse;
import org.eclipse.microprofile.health.Startup;

/** Up once the model is read and has answered for the first time. */
@Startup
@ApplicationScoped
public class StartupProbe implements HealthCheck {
    private final Lifecycle lifecycle;

    public StartupProbe(Lifecycle lifecycle) {
        this.lifecycle = lifecycle;
    }

    @Override
    public HealthCheckResponse call() {
        Lifecycle.State state = lifecycle.state();
        return HealthCheckResponse.named("started")
                .status(state.compareTo(Lifecycle.State.SERVING) >= 0)
                .withData("state", state.name())
                .build();
    }
}
