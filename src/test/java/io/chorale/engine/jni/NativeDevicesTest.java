package io.chorale.engine.jni;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.chorale.engine.DeviceReading;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class NativeDevicesTest {
    @Test
    void shouldReadWhatTheLibraryWrites() {
        assertEquals(List.of(), NativeDevices.parse(""));
        assertEquals(
                List.of(
                        new DeviceReading(0, "NVIDIA H100 80GB HBM3", Map.of("utilization", 0.87, "xid_last", 79.0)),
                        new DeviceReading(1, "", Map.of("xid_last", 0.0))),
                NativeDevices.parse("0.name=NVIDIA H100 80GB HBM3\n0.utilization=0.87\n0.xid_last=79\n1.xid_last=0\n"));
    }
}
