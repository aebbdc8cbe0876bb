package io.chorale.simulate;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import io.chorale.simulate.SimulationSettings.Objectives;
import java.lang.management.ManagementFactory;
import org.junit.jupiter.api.Test;

/** Questions whose answers hang on little, or are large. */
class WhatIfTest {
    private static final long LONG_ENOUGH = 60_000_000_000L;

    private static WhatIf question(int replicas, int adapters, double rate, double ttftSeconds, double target) {
        return new WhatIf(
                DeviceProfiles.H100_8B,
                "fcfs",
                replicas,
                Dispatcher.ROUND_ROBIN,
                adapters,
                adapters,
                new int[] {16},
                1,
                rate,
                0,
                1,
                10,
                8,
                511,
                8,
                511,
                new Objectives(ttftSeconds, 0.5),
                target,
                42);
    }

    private static WhatIf.Answer answer(WhatIf question) {
        return question.answer(LONG_ENOUGH).orElseThrow();
    }

    /** In JSON it was a decimal, and then a float. */
    @Test
    void aShareThatIsMetExactlyIsMet() {
        int aboveWhatWasMeant = 0;
        for (double ttftSeconds = 0.012; ttftSeconds < 0.02; ttftSeconds += 0.0005) {
            double attainment =
                    answer(question(1, 10, 7, ttftSeconds, 0)).tomorrow().attainment();
            aboveWhatWasMeant += (float) attainment > attainment ? 1 : 0;
            WhatIf.Answer same = answer(question(1, 10, 7, ttftSeconds, (float) attainment));
            assertTrue(same.fits(), same.why());
        }
        assertTrue(aboveWhatWasMeant > 0, "floats above their decimals are what this is about");
    }

    @Test
    void aShareThatIsMissedBarelyDoesNotLookMet() {
        WhatIf.Answer missed = answer(question(1, 10, 7, 0.016, 0.999999));
        assertFalse(missed.fits(), missed.why());
        assertTrue(missed.why().endsWith("wanted are 99.99 %"), missed.why());
    }

    /** A server answers such a question beside its other work. */
    @Test
    void manyReplicasAndAdaptersTakeLittleMemory() {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long before = threads.getCurrentThreadAllocatedBytes();
        WhatIf.Answer answer = answer(question(64, 100_000, 1, 6, 0.99));
        long allocated = threads.getCurrentThreadAllocatedBytes() - before;
        assertTrue(answer.fits(), answer.why());
        assertTrue(allocated < 500_000_000, () -> allocated + " bytes");
    }
}
