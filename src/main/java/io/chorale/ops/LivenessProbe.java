package io.chorale.ops;

import io.chorale.serving.Lifecycle;
import jakarta.enterprise.context.ApplicationScoped;
import java.time.Duration;
import org.eclipse.microprofile.health.HealthCheck;
import org.eclipse.microprofile.health.HealthCheckResponse;
import org.eclipse.microprofile.health.Liveness;

/** Down when only a restart helps: the engine or the serving thread is dead, or stuck in a step. */
@Liveness
@ApplicationScoped
public class LivenessProbe implements HealthCheck {
    private final Lifecycle lifecycle;
    private final Duration stuckAfter;

    public LivenessProbe(Lifecycle lifecycle, StuckAfter stuckAfter) {
        this.lifecycle = lifecycle;
        this.stuckAfter = stuckAfter.duration();
    }

    /** @param duration a serving thread that has been in one cycle for so long counts as dead */
    public record StuckAfter(Duration duration) {}

    @Override
    public HealthCheckResponse call() {
        Lifecycle.Standing standing = lifecycle.standing();
        long busyNanos = lifecycle.busyNanos();
        boolean alive = standing.state() != Lifecycle.State.DEAD && busyNanos < stuckAfter.toNanos();
        return HealthCheckResponse.named("serving-thread")
                .status(alive)
                .withData("state", standing.state().name())
                .withData("detail", standing.detail())
                .withData("cycle-millis", busyNanos / 1_000_000)
                .build();
    }
}
