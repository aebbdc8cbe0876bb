package io.chorale.ops;

import io.chorale.engine.DeviceReading;
import io.chorale.serving.Lifecycle;
import jakarta.enterprise.context.ApplicationScoped;
import java.util.List;
import java.util.TreeMap;
import org.eclipse.microprofile.health.HealthCheck;
import org.eclipse.microprofile.health.HealthCheckResponse;
import org.eclipse.microprofile.health.HealthCheckResponseBuilder;
import org.eclipse.microprofile.health.Readiness;

/** Up while requests are accepted, from when the pinned adapters are in host memory. */
@Readiness
@ApplicationScoped
public class ReadinessProbe implements HealthCheck {
    private final Lifecycle lifecycle;
    private final HotAdapters hot;
    private final DeviceMetrics devices;

    public ReadinessProbe(Lifecycle lifecycle, HotAdapters hot, DeviceMetrics devices) {
        this.lifecycle = lifecycle;
        this.hot = hot;
        this.devices = devices;
    }

    @Override
    public HealthCheckResponse call() {
        Lifecycle.State state = lifecycle.state();
        boolean serving = state == Lifecycle.State.SERVING;
        List<String> awaited = serving ? hot.awaited() : List.of();
        HealthCheckResponseBuilder response = HealthCheckResponse.named("accepting-requests")
                .status(serving && awaited.isEmpty())
                .withData("state", state.name())
                .withData("adapters-awaited", awaited.size());
        // For people: an engine on a device that has failed is dead, and liveness says so.
        devices.readings().forEach(reading -> describe(reading, response));
        return response.build();
    }

    private static void describe(DeviceReading reading, HealthCheckResponseBuilder response) {
        StringBuilder text = new StringBuilder(reading.name());
        new TreeMap<>(reading.values())
                .forEach((key, value) -> text.append(' ')
                        .append(key)
                        .append('=')
                        .append(value == Math.rint(value) ? String.valueOf(value.longValue()) : value.toString()));
        response.withData("device-" + reading.index(), text.toString());
    }
}
