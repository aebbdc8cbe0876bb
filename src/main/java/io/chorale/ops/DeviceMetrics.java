package io.chorale.ops;

import io.chorale.engine.DeviceReading;
import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.function.LongSupplier;

/**
 * The health of the GPUs as metrics, labelled by device. Read when somebody asks, and at most once in {@link #FRESH}, however
 * many ask. What a device does not tell has no metric. Any thread.
 */
public final class DeviceMetrics {
    private static final Duration FRESH = Duration.ofSeconds(1);

    private static final Map<Metric, String> KEYS = Map.of(
            Metric.DEVICE_MEMORY, "memory_bytes",
            Metric.DEVICE_MEMORY_USED, "memory_used_bytes",
            Metric.DEVICE_UTILIZATION, "utilization",
            Metric.DEVICE_TEMPERATURE, "temperature_celsius",
            Metric.DEVICE_POWER, "power_watts",
            Metric.DEVICE_SLOWED, "slowed_by",
            Metric.DEVICE_ECC_CORRECTED, "ecc_corrected",
            Metric.DEVICE_ECC_UNCORRECTED, "ecc_uncorrected",
            Metric.DEVICE_XID_ERRORS, "xid_errors",
            Metric.DEVICE_XID_LAST, "xid_last");

    private final DeviceReading.Source source;
    private final LongSupplier clock;
    private List<DeviceReading> last;
    private long readNanos;

    /** Reads once: the devices that are there then are the devices. */
    public DeviceMetrics(DeviceReading.Source source, LongSupplier clock) {
        this.source = source;
        this.clock = clock;
        last = source.read();
        readNanos = clock.getAsLong();
    }

    /** What the devices say now, or said a moment ago. */
    public synchronized List<DeviceReading> readings() {
        long now = clock.getAsLong();
        if (!last.isEmpty() && now - readNanos >= FRESH.toNanos()) {
            last = source.read();
            readNanos = now;
        }
        return last;
    }

    public void bind(MeterRegistry registry) {
        for (DeviceReading device : readings()) {
            KEYS.forEach((metric, key) -> {
                if (device.values().containsKey(key)) {
                    bind(registry, metric, key, device.index());
                }
            });
        }
    }

    private void bind(MeterRegistry registry, Metric metric, String key, int device) {
        String label = String.valueOf(device);
        if (metric.kind() == Metric.Kind.COUNTER) {
            FunctionCounter.builder(metric.meterName(), this, metrics -> metrics.value(device, key))
                    .tag(metric.label(), label)
                    .description(metric.sentence())
                    .register(registry);
        } else {
            Gauge.builder(metric.meterName(), this, metrics -> metrics.value(device, key))
                    .tag(metric.label(), label)
                    .description(metric.sentence())
                    .register(registry);
        }
    }

    private double value(int device, String key) {
        return readings().stream()
                .filter(reading -> reading.index() == device)
                .mapToDouble(reading -> reading.values().getOrDefault(key, Double.NaN))
                .findFirst()
                .orElse(Double.NaN);
    }
}
