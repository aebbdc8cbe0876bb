package io.chorale.parity;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import io.chorale.parity.PlanDriver.Generation;
import io.chorale.parity.PlanDriver.Schedule;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The bundled model: all 35 stored conversations at once, base and six adapters mixed, token by token. */
class FableParityTest {
    @ParameterizedTest
    @ValueSource(strings = {"reference", "fast"})
    void allConversationsGiveTheStoredIds(String mode) throws Exception {
        ParityFixture fable = ParityFixture.read(Path.of("models", "fable"));
        try (EngineUnderTest under = EngineUnderTest.of(fable.model(), mode)) {
            Map<String, Integer> slots = ParityTest.loadAll(under, fable);
            List<Generation> got = ParityTest.generations(fable, slots);
            int longest = fable.cases().stream()
                    .mapToInt(one -> one.ids().length)
                    .max()
                    .orElseThrow();
            under.driver.run(got, longest, new Schedule(16, true));
            for (int i = 0; i < got.size(); i++) {
                ParityFixture.Case expected = fable.cases().get(i);
                int[] ids = got.get(i).ids.stream()
                        .limit(expected.ids().length)
                        .mapToInt(Integer::intValue)
                        .toArray();
                assertArrayEquals(expected.ids(), ids, expected.toString());
            }
        }
    }
}
