package io.chorale.parity;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.engine.EngineFault;
import io.chorale.engine.jni.NativeEngineConfig;
import io.chorale.parity.ParityFixture.Case;
import io.chorale.parity.PlanDriver.Generation;
import io.chorale.parity.PlanDriver.Schedule;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The stored answers, from models that are cut into shards. Their head counts divide by two, and where not, by four. */
class ShardsParityTest {
    private static final List<String> SCHEMES = List.of("replicate", "sharded");

    static Stream<Arguments> cuts() {
        return ParityFixture.STORED.stream()
                .flatMap(model -> Stream.of(2, 3, 4)
                        .filter(shards -> divides(model, shards))
                        .flatMap(shards -> SCHEMES.stream()
                                .flatMap(scheme -> Stream.of("reference", "fast")
                                        .map(mode -> Arguments.of(model, shards, scheme, mode)))));
    }

    /** Asks the engine: what it cannot cut it refuses, which {@link #saysWhatDoesNotDivide} looks at. */
    private static boolean divides(String name, int shards) {
        try (EngineUnderTest under = open(name, shards, "sharded", "fast")) {
            return under.engine.description().get("shards").equals(Integer.toString(shards));
        } catch (EngineFault refused) {
            return false;
        }
    }

    private static EngineUnderTest open(String name, int shards, String scheme, String mode) {
        try {
            return new EngineUnderTest(
                    ParityFixture.stored(name).model(),
                    NativeEngineConfig.cpu(EngineUnderTest.POOL_BYTES)
                            .withMode(mode)
                            .withShards(shards, scheme));
        } catch (Exception e) {
            if (e instanceof EngineFault fault) {
                throw fault;
            }
            throw new IllegalStateException(name, e);
        }
    }

    @ParameterizedTest
    @MethodSource("cuts")
    void allTogetherGiveTheStoredLogitsAndIds(String name, int shards, String scheme, String mode) throws Exception {
        ParityFixture fixture = ParityFixture.stored(name);
        try (EngineUnderTest under = open(name, shards, scheme, mode)) {
            List<Generation> got = ParityTest.generations(fixture, ParityTest.loadAll(under, fixture));
            double[][] head = ParityTest.head(fixture.model(), under);
            under.driver.run(got, 24, new Schedule(16, true));
            for (int i = 0; i < got.size(); i++) {
                Case expected = fixture.cases().get(i);
                ParityTest.checkIds(expected, got.get(i));
                ParityTest.checkLogits(
                        expected + ", first",
                        expected.firstLogits(),
                        got.get(i).hidden.getFirst(),
                        head);
            }
        }
    }

    @Test
    void everyModelIsCutInTwoAndSomeInFour() {
        List<Object[]> all = cuts().map(Arguments::get).toList();
        for (String model : ParityFixture.STORED) {
            assertTrue(all.stream().anyMatch(cut -> cut[0].equals(model) && cut[1].equals(2)), model);
        }
        assertTrue(all.stream().anyMatch(cut -> cut[1].equals(4)));
    }

    @Test
    void saysWhatDoesNotDivide() {
        String model = ParityFixture.STORED.getFirst();
        EngineFault fault = assertThrows(EngineFault.class, () -> open(model, 3, "replicate", "fast"));
        assertEquals(EngineFault.Kind.REJECTED_INPUT, fault.kind());
        assertEquals(
                "shards=3: this model cannot be cut into 3: its 4 query heads do not divide; possible: 1, 2, 4",
                fault.getMessage());
    }
}
