package io.chorale.core.policy;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * A linear cost model that starts from a stored profile and is corrected by every step that ends. Each coefficient moves
 * in proportion to its part of the prediction, so that the steps that are made of uploads correct the price of uploads, and
 * none becomes negative; a coefficient of zero stays zero. One owner, the serving thread; {@link #profile} may be asked by any
 * thread, which may see some coefficients before a correction and others after it.
 */
public final class LearnedCosts implements StepCostModel {
    /** How much of an error a single step corrects. */
    private static final double RATE = 0.1;
    /** A step that took many times what was expected was held up by something else. */
    private static final double ERROR_MAX = 1;

    private static final double ERROR_SHARE = 0.02;
    private static final int PARTS = 8;
    private static final VarHandle PRICE = MethodHandles.arrayElementVarHandle(double[].class);

    private final double[] price = new double[PARTS];
    private final double[] part = new double[PARTS];
    private double error;

    public LearnedCosts(Linear profile) {
        price[0] = profile.baseNanos();
        price[1] = profile.rowNanos();
        price[2] = profile.contextTokenNanos();
        price[3] = profile.adapterNanos();
        price[4] = profile.adapterPageNanos();
        price[5] = profile.adapterRowNanos();
        price[6] = profile.loadPageNanos();
        price[7] = profile.mergeNanos();
    }

    @Override
    public long stepNanos(StepShape step) {
        return (long) predict(step);
    }

    private double predict(StepShape step) {
        part[0] = price[0];
        part[1] = price[1] * step.rows;
        part[2] = price[2] * step.contextTokens;
        part[3] = price[3] * step.adapters;
        part[4] = price[4] * step.adapterPages;
        part[5] = price[5] * step.adapterRows;
        part[6] = price[6] * step.loadPages;
        part[7] = step.mergePages > 0 ? price[7] : 0;
        double sum = 0;
        for (double nanos : part) {
            sum += nanos;
        }
        return sum;
    }

    @Override
    public void observe(StepShape step, long nanos) {
        if (nanos <= 0) {
            return;
        }
        double predicted = predict(step);
        error += ERROR_SHARE * (Math.min(ERROR_MAX, Math.abs(predicted - nanos) / nanos) - error);
        if (predicted <= 0) {
            PRICE.setOpaque(price, 0, (double) nanos);
            return;
        }
        double relative = Math.clamp((nanos - predicted) / predicted, -ERROR_MAX, ERROR_MAX);
        for (int i = 0; i < PARTS; i++) {
            PRICE.setOpaque(price, i, price[i] * (1 + RATE * relative * part[i] / predicted));
        }
    }

    @Override
    public double error() {
        return error;
    }

    /** What has been learned, to start from the next time. */
    public Linear profile() {
        return new Linear(
                Math.round(seen(0)),
                Math.round(seen(1)),
                seen(2),
                Math.round(seen(3)),
                Math.round(seen(4)),
                Math.round(seen(5)),
                Math.round(seen(6)),
                Math.round(seen(7)));
    }

    private double seen(int i) {
        return (double) PRICE.getOpaque(price, i);
    }
}
