package io.chorale.sim;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.chorale.core.memory.PoolGeometry;
import io.chorale.core.sched.SchedulerLimits;
import io.chorale.core.sched.SchedulerPolicies;
import io.chorale.engine.sim.FaultPlan;
import io.chorale.engine.sim.SimulatedModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Every plan of one short scenario as text that people can read: what changes in a review is what changed in behaviour.
 * Rewritten with {@code -Dgolden.update}.
 */
class PlanGoldenTest {
    private static final Path FOLDER = Path.of("src/test/resources/golden");

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void plansAreAsTheyWere(int lookAhead) throws IOException {
        SchedulerLimits limits = new SchedulerLimits(64, 50, 1, 12, 6, 4, 4, 2, 2, 1);
        SimServer server = new SimServer(new SimServer.Config(
                        new PoolGeometry(12, 4, 3, 2),
                        limits,
                        SchedulerPolicies.PLAIN,
                        new SimulatedModel(1, 50, 3, 0.1),
                        FaultPlan.NONE,
                        lookAhead,
                        2,
                        0))
                .withTrace();
        for (int version = 1; version <= 3; version++) {
            server.stage(version);
        }
        server.submit(Requests.of(0, 9, 8).at(0)); // a prompt in two chunks
        server.submit(Requests.of(1, 5, 8).adapter(1).at(0));
        server.turn();
        server.submit(Requests.of(2, 4, 8).adapter(2).stops(2, 3).at(0));
        server.submit(Requests.of(3, 4, 6).adapter(1).at(0)); // shares a segment with request 1
        server.submit(Requests.of(4, 4, 6).adapter(3).penalties().at(0)); // needs a slot, pages and counts
        server.runUntilIdle();
        assertGolden("mixed-look-ahead-" + lookAhead, String.join("\n", server.trace) + "\n");
    }

    private static void assertGolden(String name, String actual) throws IOException {
        Path file = FOLDER.resolve(name + ".plan");
        if (System.getProperty("golden.update") != null) {
            Files.createDirectories(FOLDER);
            Files.writeString(file, actual);
        }
        assertEquals(Files.readString(file), actual, file + " (rewrite with -Dgolden.update after reading the change)");
    }
}
