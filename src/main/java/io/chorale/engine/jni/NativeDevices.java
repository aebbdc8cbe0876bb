package io.chorale.engine.jni;

import io.chorale.engine.DeviceReading;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** The GPUs as the driver's management library tells of them, through the engine's library, which must be loaded already. */
public final class NativeDevices implements DeviceReading.Source {
    private static final String NAME = "name";

    @Override
    public List<DeviceReading> read() {
        NativeLibraries.load();
        return parse(NativeBuffers.text(ChoraleNative::ch_devices_describe));
    }

    /** @param text lines {@code INDEX.key=value} */
    static List<DeviceReading> parse(String text) {
        Map<Integer, Map<String, Double>> values = new TreeMap<>();
        Map<Integer, String> names = new HashMap<>();
        EngineLines.parse(text).forEach((key, value) -> {
            int dot = key.indexOf('.');
            int index = Integer.parseInt(key.substring(0, dot));
            Map<String, Double> ofDevice = values.computeIfAbsent(index, unused -> new HashMap<>());
            String what = key.substring(dot + 1);
            if (what.equals(NAME)) {
                names.put(index, value);
            } else {
                ofDevice.put(what, Double.parseDouble(value));
            }
        });
        List<DeviceReading> devices = new ArrayList<>();
        values.forEach((index, ofDevice) ->
                devices.add(new DeviceReading(index, names.getOrDefault(index, ""), Map.copyOf(ofDevice))));
        return devices;
    }
}
