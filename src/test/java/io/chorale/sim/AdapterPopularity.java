package io.chorale.sim;

import java.util.Arrays;
import java.util.SplittableRandom;

/** Which adapter a request asks for: a power law over the adapters, as in S-LoRA's traces. */
final class AdapterPopularity {
    private final double[] cumulated;

    AdapterPopularity(int adapters, double exponent) {
        cumulated = new double[adapters];
        double sum = 0;
        for (int i = 0; i < adapters; i++) {
            sum += Math.pow(i + 1, -exponent);
            cumulated[i] = sum;
        }
    }

    /** A version from 1 on. */
    int draw(SplittableRandom random) {
        double at = random.nextDouble() * cumulated[cumulated.length - 1];
        int found = Arrays.binarySearch(cumulated, at);
        return 1 + Math.min(cumulated.length - 1, found < 0 ? -found - 1 : found);
    }
}
