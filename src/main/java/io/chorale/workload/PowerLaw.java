package io.chorale.workload;

import java.util.Arrays;

/** Which adapter a request asks for: the share of the i-th falls as a power of i, from the first on. */
public final class PowerLaw {
    private final double[] cumulated;

    /** @param exponent 0: all the same share */
    public PowerLaw(int adapters, double exponent) {
        cumulated = new double[adapters];
        double sum = 0;
        for (int i = 0; i < adapters; i++) {
            sum += Math.pow(i + 1, -exponent);
            cumulated[i] = sum;
        }
    }

    /** The law under which the first has such a share, from 1/adapters to below 1. */
    static PowerLaw withTopShare(int adapters, double topShare) {
        double low = 0;
        double high = 64;
        for (int i = 0; i < 100; i++) {
            double middle = (low + high) / 2;
            if (new PowerLaw(adapters, middle).topShare() < topShare) {
                low = middle;
            } else {
                high = middle;
            }
        }
        return new PowerLaw(adapters, high);
    }

    double topShare() {
        return cumulated[0] / cumulated[cumulated.length - 1];
    }

    /** An adapter, from 0 on. */
    public int draw(NumpyRandom random) {
        double at = random.uniform() * cumulated[cumulated.length - 1];
        int found = Arrays.binarySearch(cumulated, at);
        return Math.min(cumulated.length - 1, found < 0 ? -found - 1 : found + 1);
    }
}
