package io.chorale.core.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class PeakDemandTest {
    @Test
    void equalsTheLargestDemandOfAStepByStepReplay() {
        SplittableRandom random = new SplittableRandom(1);
        for (int round = 0; round < 3_000; round++) {
            int pageTokens = 1 + random.nextInt(20);
            int count = random.nextInt(8);
            PeakDemand demand = new PeakDemand(pageTokens);
            int[] held = new int[count + 1];
            int[] left = new int[count + 1];
            for (int i = 0; i <= count; i++) {
                held[i] = random.nextInt(50);
                left[i] = random.nextInt(40);
                if (i < count) {
                    demand.add(held[i], left[i]);
                }
            }
            long before = demand.pages();
            assertEquals(replay(held, left, count, pageTokens), before);
            assertEquals(replay(held, left, count + 1, pageTokens), demand.pagesWith(held[count], left[count]));
            assertEquals(before, demand.pages(), "asking changes nothing");
        }
    }

    private static long replay(int[] held, int[] left, int count, int pageTokens) {
        long peak = 0;
        for (int time = 0; time < 40; time++) {
            long pages = 0;
            for (int i = 0; i < count; i++) {
                pages += time <= left[i] ? Math.ceilDiv(held[i] + time, pageTokens) : 0;
            }
            peak = Math.max(peak, pages);
        }
        return peak;
    }
}
