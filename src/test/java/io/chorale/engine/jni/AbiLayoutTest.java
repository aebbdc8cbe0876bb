package io.chorale.engine.jni;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

/** Java's layout of the buffers is the library's. */
class AbiLayoutTest {
    @Test
    void everyConstantThatJavaReliesOnIsTheLibrarysOwn() {
        NativeLibraries.load();
        assertEquals(List.of(), StepLayout.differences(NativeLibraries.abi()));
        assertEquals(StepLayout.ABI_VERSION, ChoraleNative.ch_abi_version());
    }

    @Test
    void aDifferenceIsNamed() {
        NativeLibraries.load();
        Map<String, Long> abi = new TreeMap<>(NativeLibraries.abi());
        abi.put("kHidden", 99L);
        abi.remove("offsetof.Move.handle");
        assertEquals(
                List.of(
                        "kHidden is 5 here, but 99 in the library",
                        "offsetof.Move.handle is 24 here, but unknown in the library"),
                StepLayout.differences(abi));
    }
}
