package io.chorale.workload;

/**
 * When requests come: gaps with a gamma distribution.
 *
 * @param variation coefficient of variation of the gaps: 1 is Poisson, more is burstier
 */
public record ArrivalProcess(double perSecond, double variation) {
    public double nextGapSeconds(NumpyRandom random) {
        double square = variation * variation;
        return random.gamma(1 / square, square / perSecond);
    }
}
