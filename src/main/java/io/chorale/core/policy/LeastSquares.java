package io.chorale.core.policy;

import java.util.Arrays;

/**
 * Weighted least squares that forget, around a prior, over a few unknowns none of which is negative. Kept as normal
 * equations, to which a row of observations is added in place; solving them anew costs less than a microsecond and allocates
 * nothing.
 */
final class LeastSquares {
    private final int unknowns;
    /** Sums of weight * x * x', lower triangle by rows, and of weight * x * y. */
    private final double[] moments;

    private final double[] products;
    /** Cholesky's factor of the moments and the prior's precision: of all unknowns, and with some held at zero. */
    private final double[] factor;

    private final double[] factorHeld;
    private final double[] scratch;
    private final boolean[] held;

    LeastSquares(int unknowns) {
        this.unknowns = unknowns;
        moments = new double[unknowns * unknowns];
        products = new double[unknowns];
        factor = new double[unknowns * unknowns];
        factorHeld = new double[unknowns * unknowns];
        scratch = new double[unknowns];
        held = new boolean[unknowns];
    }

    /** Observed: x times the unknowns is y. Everything observed before keeps this part of its weight. */
    void observe(double[] x, double y, double weight, double kept) {
        for (int i = 0; i < unknowns; i++) {
            for (int j = 0; j <= i; j++) {
                int at = i * unknowns + j;
                moments[at] = kept * moments[at] + weight * x[i] * x[j];
            }
            products[i] = kept * products[i] + weight * x[i] * y;
        }
    }

    /**
     * What fits best.
     *
     * @param prior what the unknowns are without any observation
     * @param precision how much that weighs, positive
     */
    void solve(double[] prior, double[] precision, double[] solution) {
        Arrays.fill(held, false);
        factorise(precision, factor);
        solveHolding(prior, precision, factor, solution);
    }

    /** The same where these are known to be zero; {@link #deviation} is left as it was. */
    void solveWithout(boolean[] zero, double[] prior, double[] precision, double[] solution) {
        System.arraycopy(zero, 0, held, 0, unknowns);
        factorise(precision, factorHeld);
        solveHolding(prior, precision, factorHeld, solution);
    }

    private void solveHolding(double[] prior, double[] precision, double[] first, double[] solution) {
        double[] root = first;
        while (true) {
            substitute(root, prior, precision, solution);
            int lowest = 0;
            for (int i = 1; i < unknowns; i++) {
                lowest = solution[i] < solution[lowest] ? i : lowest;
            }
            // Each round holds one more; something that is no number ends it too.
            if (!(solution[lowest] < 0)) {
                return;
            }
            held[lowest] = true;
            factorise(precision, factorHeld);
            root = factorHeld;
        }
    }

    private void factorise(double[] precision, double[] root) {
        for (int i = 0; i < unknowns; i++) {
            for (int j = 0; j <= i; j++) {
                double sum;
                if (held[i] || held[j]) {
                    sum = i == j ? 1 : 0;
                } else {
                    sum = moments[i * unknowns + j] + (i == j ? precision[i] : 0);
                }
                for (int k = 0; k < j; k++) {
                    sum -= root[i * unknowns + k] * root[j * unknowns + k];
                }
                // What is left of a diagonal is never less than its precision but by rounding.
                root[i * unknowns + j] =
                        i == j ? Math.sqrt(held[i] ? sum : Math.max(sum, precision[i])) : sum / root[j * unknowns + j];
            }
        }
    }

    private void substitute(double[] root, double[] prior, double[] precision, double[] solution) {
        for (int i = 0; i < unknowns; i++) {
            double sum = held[i] ? 0 : products[i] + precision[i] * prior[i];
            for (int k = 0; k < i; k++) {
                sum -= root[i * unknowns + k] * scratch[k];
            }
            scratch[i] = sum / root[i * unknowns + i];
        }
        for (int i = unknowns - 1; i >= 0; i--) {
            double sum = scratch[i];
            for (int k = i + 1; k < unknowns; k++) {
                sum -= root[k * unknowns + i] * solution[k];
            }
            solution[i] = sum / root[i * unknowns + i];
        }
    }

    /** By how much x times the unknowns may be off, for observations of weight 1 that are off by 1 each. */
    double deviation(double[] x) {
        double squares = 0;
        for (int i = 0; i < unknowns; i++) {
            double sum = x[i];
            for (int k = 0; k < i; k++) {
                sum -= factor[i * unknowns + k] * scratch[k];
            }
            scratch[i] = sum / factor[i * unknowns + i];
            squares += scratch[i] * scratch[i];
        }
        return Math.sqrt(squares);
    }
}
