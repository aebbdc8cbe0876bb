package io.chorale.sim;

import java.util.SplittableRandom;

/** When requests come: gaps with a gamma distribution, of a mean rate and a coefficient of variation (1: Poisson). */
record ArrivalProcess(double perSecond, double variation) {
    long nextGapNanos(SplittableRandom random) {
        double shape = 1 / (variation * variation);
        return (long) (gamma(shape, random) / shape / perSecond * 1e9);
    }

    /** Marsaglia and Tsang (2000); shapes below 1 by their boost. */
    private static double gamma(double shape, SplittableRandom random) {
        if (shape < 1) {
            return gamma(shape + 1, random) * Math.pow(random.nextDouble(), 1 / shape);
        }
        double d = shape - 1.0 / 3;
        double c = 1 / Math.sqrt(9 * d);
        while (true) {
            double x = random.nextGaussian();
            double v = Math.pow(1 + c * x, 3);
            if (v > 0 && Math.log(random.nextDouble()) < 0.5 * x * x + d - d * v + d * Math.log(v)) {
                return d * v;
            }
        }
    }
}
