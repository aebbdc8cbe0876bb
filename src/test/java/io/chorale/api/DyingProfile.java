package io.chorale.api;

import io.quarkus.test.junit.QuarkusTestProfile;
import java.util.Map;

/** An engine that is slow and dies: after that, only a restart would help. */
public class DyingProfile implements QuarkusTestProfile {
    @Override
    public Map<String, String> getConfigOverrides() {
        return Map.of(
                "chorale.model.dir", TokensProfile.modelWithoutTokenizer().toString(),
                "chorale.model.name", "tokens",
                "chorale.engine.kind", "simulated",
                "chorale.engine.simulated.step", "300MS",
                "chorale.engine.simulated.stop-probability", "0",
                "chorale.engine.simulated.dies-at-step", "12",
                "chorale.lifecycle.end-within", "",
                "chorale.stream.keep-alive", "100MS");
    }
}
