package io.chorale.ops;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.engine.DeviceReading;
import io.chorale.serving.Lifecycle;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class DeviceMetricsTest {
    private static final long SECOND = 1_000_000_000L;

    private final SimpleMeterRegistry registry = new SimpleMeterRegistry();
    private long now;
    private int reads;
    private List<DeviceReading> devices = List.of(
            new DeviceReading(0, "One", Map.of("temperature_celsius", 61.0, "xid_errors", 0.0, "utilization", 0.875)),
            new DeviceReading(1, "Two", Map.of("xid_errors", 0.0)));

    private DeviceMetrics metrics() {
        return new DeviceMetrics(
                () -> {
                    reads++;
                    return devices;
                },
                () -> now);
    }

    private double temperature() {
        return registry.get(Metric.DEVICE_TEMPERATURE.meterName())
                .tag("device", "0")
                .gauge()
                .value();
    }

    @Test
    void shouldTellWhatEachDeviceTells() {
        metrics().bind(registry);
        assertEquals(61, temperature());
        String errors = Metric.DEVICE_XID_ERRORS.meterName();
        assertEquals(
                0, registry.get(errors).tag("device", "1").functionCounter().count());
        assertNull(registry.find(Metric.DEVICE_TEMPERATURE.meterName())
                .tag("device", "1")
                .gauge());
        assertNull(registry.find(Metric.DEVICE_POWER.meterName()).gauge());
        devices = List.of(new DeviceReading(0, "One", Map.of("temperature_celsius", 80.0)), devices.get(1));
        assertEquals(61, temperature(), "a moment ago");
        now = SECOND;
        assertEquals(80, temperature());
    }

    @Test
    void shouldAskTheDriverOnceASecondHoweverManyAsk() {
        DeviceMetrics metrics = metrics();
        metrics.bind(registry);
        for (int i = 0; i < 100; i++) {
            temperature();
        }
        assertEquals(1, reads);
        now = SECOND;
        registry.getMeters().forEach(meter -> meter.measure().forEach(measured -> measured.getValue()));
        assertEquals(2, reads);
    }

    @Test
    void shouldLeaveAMachineWithoutDevicesAlone() {
        devices = List.of();
        DeviceMetrics metrics = metrics();
        metrics.bind(registry);
        now = 100 * SECOND;
        assertEquals(List.of(), metrics.readings());
        assertEquals(1, reads);
        assertEquals(List.of(), registry.getMeters());
    }

    @Test
    void shouldTellOfDevicesInTheDetailOfReadiness() {
        Lifecycle lifecycle = new Lifecycle(() -> 0);
        ReadinessProbe probe = new ReadinessProbe(lifecycle, new HotAdapters(List::of), metrics());
        Map<String, Object> detail = probe.call().getData().orElseThrow();
        assertEquals("One temperature_celsius=61 utilization=0.875 xid_errors=0", detail.get("device-0"));
        assertTrue(String.valueOf(detail.get("device-1")).startsWith("Two "));
    }
}
