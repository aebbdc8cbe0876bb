package io.chorale.parity;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.engine.EngineFault;
import io.chorale.engine.jni.EngineConfigs;
import io.chorale.engine.jni.NativeEngineConfig;
import io.chorale.parity.ParityFixture.Case;
import io.chorale.parity.PlanDriver.Generation;
import io.chorale.parity.PlanDriver.Schedule;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The stored answers, from models that are cut into shards: all in two, some in three or four. */
class ShardsParityTest {
    record Cut(String model, int shards, String scheme, String mode) {}

    static List<Cut> cuts() {
        List<Cut> cuts = new ArrayList<>();
        for (String model : ParityFixture.STORED) {
            for (int shards : new int[] {2, 3, 4}) {
                if (!divides(model, shards)) {
                    continue;
                }
                for (String scheme : List.of("replicate", "sharded")) {
                    cuts.add(new Cut(model, shards, scheme, "reference"));
                    cuts.add(new Cut(model, shards, scheme, "fast"));
                }
            }
        }
        return cuts;
    }

    /** Asks the engine: what it cannot cut it refuses, which {@link #saysWhatDoesNotDivide} looks at. */
    private static boolean divides(String model, int shards) {
        try (EngineUnderTest under = open(model, shards, "sharded", "fast")) {
            assertEquals(Integer.toString(shards), under.engine.description().get("shards"));
            return true;
        } catch (EngineFault refused) {
            return false;
        }
    }

    private static EngineUnderTest open(String name, int shards, String scheme, String mode) {
        try {
            return new EngineUnderTest(
                    ParityFixture.stored(name).model(),
                    EngineConfigs.inShards(
                            shards,
                            scheme,
                            EngineConfigs.inMode(mode, NativeEngineConfig.cpu(EngineUnderTest.POOL_BYTES))));
        } catch (Exception e) {
            if (e instanceof EngineFault fault) {
                throw fault;
            }
            throw new IllegalStateException(name, e);
        }
    }

    @ParameterizedTest
    @MethodSource("cuts")
    void allTogetherGiveTheStoredLogitsAndIds(Cut cut) throws Exception {
        ParityFixture fixture = ParityFixture.stored(cut.model());
        try (EngineUnderTest under = open(cut.model(), cut.shards(), cut.scheme(), cut.mode())) {
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
    void everyModelIsCutInTwoAndSomeInThreeAndFour() {
        List<Cut> cuts = cuts();
        for (String model : ParityFixture.STORED) {
            assertTrue(cuts.stream().anyMatch(cut -> cut.model().equals(model) && cut.shards() == 2), model);
        }
        assertTrue(cuts.stream().anyMatch(cut -> cut.shards() == 3));
        assertTrue(cuts.stream().anyMatch(cut -> cut.shards() == 4));
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
