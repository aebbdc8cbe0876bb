package io.chorale.ops;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.chorale.serving.Lifecycle;
import java.util.ArrayList;
import java.util.List;
import org.eclipse.microprofile.health.HealthCheckResponse.Status;
import org.junit.jupiter.api.Test;

class ReadinessProbeTest {
    private final Lifecycle lifecycle = new Lifecycle(() -> 0);
    private final List<String> cold = new ArrayList<>(List.of("pirate", "shout"));
    private final ReadinessProbe probe = new ReadinessProbe(
            lifecycle, new HotAdapters(() -> List.copyOf(cold)), new DeviceMetrics(List::of, () -> 0));

    @Test
    void shouldWaitForThePinnedAdapters() {
        assertEquals(Status.DOWN, status());
        lifecycle.advance(Lifecycle.State.WARMING, "");
        assertEquals(Status.DOWN, status());
        lifecycle.advance(Lifecycle.State.SERVING, "");
        assertEquals(Status.DOWN, status());
        assertEquals(2L, probe.call().getData().orElseThrow().get("adapters-awaited"));
        cold.remove("pirate");
        assertEquals(Status.DOWN, status());
        cold.clear();
        assertEquals(Status.UP, status());
    }

    @Test
    void shouldStayReadyWhenOneIsPinnedLater() {
        lifecycle.advance(Lifecycle.State.SERVING, "");
        cold.clear();
        assertEquals(Status.UP, status());
        cold.add("robot");
        assertEquals(Status.UP, status());
    }

    @Test
    void shouldNotBeReadyWhileItDrains() {
        cold.clear();
        lifecycle.advance(Lifecycle.State.SERVING, "");
        assertEquals(Status.UP, status());
        lifecycle.advance(Lifecycle.State.DRAINING, "");
        assertEquals(Status.DOWN, status());
    }

    private Status status() {
        return probe.call().getStatus();
    }
}
