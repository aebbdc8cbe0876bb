package io.chorale.boot;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.quarkus.runtime.configuration.ConfigurationException;
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
}
