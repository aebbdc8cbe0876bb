package io.chorale.e2e;

import io.quarkus.test.junit.QuarkusIntegrationTest;
import io.quarkus.test.junit.QuarkusTestProfile;
import io.quarkus.test.junit.TestProfile;
import java.util.Map;
import org.junit.jupiter.api.Tag;

/** The same of the native executable. */
@Tag("long")
@QuarkusIntegrationTest
@TestProfile(ConsoleIT.Unmerged.class)
class ConsoleIT extends ConsoleTest {
    /** As the pom has it for tests of the service: whether merging pays depends on how busy the machine is. */
    public static class Unmerged implements QuarkusTestProfile {
        @Override
        public Map<String, String> getConfigOverrides() {
            return Map.of("chorale.policy.merge", "always-unmerged");
        }
    }
}
