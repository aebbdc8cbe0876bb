package io.chorale.api;

import io.quarkus.test.junit.QuarkusTestProfile;
import java.util.Map;

/** A model of 7 billion parameters and 2,000 adapters that nobody trained, on an engine that computes nothing. */
public class DummyProfile implements QuarkusTestProfile {
    @Override
    public Map<String, String> getConfigOverrides() {
        return Map.of(
                "chorale.model.load-format", "dummy",
                "chorale.model.dummy.shape", "llama-2-7b",
                "chorale.adapters.dummy.count", "2000",
                "chorale.adapters.dummy.ranks", "8,64",
                "chorale.engine.kind", "simulated",
                "chorale.engine.simulated.step", "1MS",
                "chorale.engine.simulated.stop-probability", "0");
    }
}
