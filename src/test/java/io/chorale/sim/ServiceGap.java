package io.chorale.sim;

import io.chorale.core.policy.PolicySettings.Prices;

/**
 * What tenants are served, measured from the outside, by events: over every span of time in which two of them always had
 * somebody waiting, how far apart what they got came to be.
 */
final class ServiceGap {
    private final Prices prices;
    private final double[] weights;
    private final double[] service;
    private final boolean[] backlogged;
    private final double[][] least;
    private final double[][] most;
    private double worst;

    ServiceGap(Prices prices, double[] weights) {
        this.prices = prices;
        this.weights = weights;
        int tenants = weights.length;
        service = new double[tenants];
        backlogged = new boolean[tenants];
        least = new double[tenants][tenants];
        most = new double[tenants][tenants];
    }

    void prompt(int tenant, int tokens) {
        service[tenant] += prices.input() * tokens / weights[tenant];
    }

    void token(int tenant) {
        service[tenant] += prices.output() / weights[tenant];
    }

    /** After a step: who has somebody waiting now. */
    void observe(boolean[] waiting) {
        for (int a = 0; a < weights.length; a++) {
            for (int b = 0; b < a; b++) {
                double gap = service[a] - service[b];
                if (!backlogged[a] || !backlogged[b] || !waiting[a] || !waiting[b]) {
                    least[a][b] = gap;
                    most[a][b] = gap;
                }
                least[a][b] = Math.min(least[a][b], gap);
                most[a][b] = Math.max(most[a][b], gap);
                worst = Math.max(worst, most[a][b] - least[a][b]);
            }
        }
        System.arraycopy(waiting, 0, backlogged, 0, waiting.length);
    }

    double worst() {
        return worst;
    }
}
