package io.chorale.boot;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.chorale.engine.EngineFault;
import io.quarkus.runtime.configuration.ConfigurationException;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;

class EngineFactoryTest {
    @Test
    void shouldRefuseAPoolThatTheMachineCannotHold() {
        assertDoesNotThrow(() -> EngineFactory.checkPoolFits(1_000, 1_000));
        ConfigurationException refused =
                assertThrows(ConfigurationException.class, () -> EngineFactory.checkPoolFits(1_001, 1_000));
        assertEquals(
                "chorale: cannot start: chorale.engine.pool-bytes = 1001: is more than the 1000 bytes of memory that"
                        + " this machine has",
                refused.getMessage());
    }

    @Test
    void shouldLetTheCpuComputeWhereCudaFailsUnlessSeveralShardsAreAskedFor() {
        Supplier<String> noCuda = () -> {
            throw new EngineFault(EngineFault.Kind.REJECTED_INPUT, "this machine shows 1");
        };
        assertEquals("the CPU", EngineFactory.cudaOr(1, noCuda, () -> "the CPU"));
        EngineFault told = assertThrows(EngineFault.class, () -> EngineFactory.cudaOr(2, noCuda, () -> "the CPU"));
        assertEquals(
                "this machine shows 1 (chorale.engine.kind=cpu computes the 2 shards without GPUs)", told.getMessage());
        assertEquals(EngineFault.Kind.REJECTED_INPUT, told.kind());
    }
}
