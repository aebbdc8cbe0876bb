package io.chorale.engine;

import java.util.List;
import java.util.Map;

/**
 * What a GPU says of itself.
 *
 * @param name of its make
 * @param values by key, as {@code base/device_watch.h} lists them; what a device does not tell is not there
 */
public record DeviceReading(int index, String name, Map<String, Double> values) {
    /** A source of readings: a driver, or what stands in for one. Any thread; may take milliseconds. */
    @FunctionalInterface
    public interface Source {
        /** Of each device; none where there is no driver. */
        List<DeviceReading> read();
    }
}
