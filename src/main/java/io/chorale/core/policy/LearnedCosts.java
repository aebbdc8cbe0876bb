package io.chorale.core.policy;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * A linear cost model that every step corrects: least squares over the last few thousand steps, relative to what they took,
 * around a profile. Prices that the profile names are believed until steps contradict them; for the others there is a guess,
 * in the measure of what steps take here, which is believed little.
 *
 * <p>It knows what it does not know. While every row has an adapter nothing tells what rows cost from what their adapters
 * cost: {@link #doubtNanos} is large then between shapes that differ in just that, and small once steps were seen that tell
 * them apart, such as merged ones.
 *
 * <p>One owner, the serving thread; {@link #profile} may be asked by any thread, which may see some prices before a correction
 * and others after it.
 */
public final class LearnedCosts implements StepCostModel {
    private static final int PARTS = 8;
    private static final int BASE = 0;
    private static final int ROW = 1;
    private static final int CONTEXT_TOKEN = 2;
    private static final int ADAPTER = 3;
    private static final int ADAPTER_PAGE = 4;
    private static final int ADAPTER_ROW = 5;
    private static final int LOAD = 6;
    private static final int MERGE = 7;
    /** What a large GPU takes, in the order of {@link Linear}: guesses, and the units in which is reckoned. */
    private static final double[] GUESS = {6e6, 15e3, 2.5, 20e3, 5e3, 15e3, 80e3, 12e6};
    /** Adapters are guessed to cost nothing: what speaks for merging them has to be seen. */
    private static final boolean[] ADAPTERS = {false, false, false, true, true, true, false, false};

    /**
     * How far a price of a profile may be off, as a part of it. A guess may be off by all of it, or of what it has turned out
     * to be; and what is added to a row may cost as much as the row.
     */
    private static final double PROFILE_DOUBT = 0.1;
    /** What remains of a step's weight after each later one: half of it after 3,500. */
    private static final double KEPT = 0.9998;
    /** A step that is off by more than so many usual errors was held up by something else. */
    private static final double OUTLIER = 3;

    private static final double ERROR_SHARE = 0.02;
    private static final double ERROR_AT_FIRST = 0.3;
    private static final double ERROR_MIN = 0.005;
    private static final int SPEED_STEPS = 64;

    private static final double SURE = 2;
    private static final int PUBLISH_STEPS = 32;
    private static final VarHandle PRICE = MethodHandles.arrayElementVarHandle(double[].class);

    private final double[] profile;
    private final LeastSquares squares = new LeastSquares(PARTS);
    /** In units of the guesses, as everything but what is published. */
    private final double[] price = new double[PARTS];

    private final double[] x = new double[PARTS];
    private final double[] prior = new double[PARTS];
    private final double[] precision = new double[PARTS];
    private final double[] surePrice = new double[PARTS];
    private final boolean[] unsure = new boolean[PARTS];
    private final double[] published = new double[PARTS];
    private double error = ERROR_AT_FIRST;
    /** How many times as long as guessed steps take: of their logarithms the mean, at first, then a moving one. */
    private double speedLog;

    private long steps;

    /** @param profile what was learned before; a price of zero was not */
    public LearnedCosts(Linear profile) {
        this.profile = new double[] {
            profile.baseNanos(),
            profile.rowNanos(),
            profile.contextTokenNanos(),
            profile.adapterNanos(),
            profile.adapterPageNanos(),
            profile.adapterRowNanos(),
            profile.loadPageNanos(),
            profile.mergeNanos()
        };
        solve();
        publish();
    }

    @Override
    public long stepNanos(StepShape step) {
        clear();
        add(step, 1);
        return (long) times(price);
    }

    @Override
    public long doubtNanos(StepShape step, StepShape other, double part) {
        clear();
        add(step, 1);
        add(other, -part);
        return (long) (Math.max(ERROR_MIN, error) * squares.deviation(x));
    }

    private void clear() {
        for (int i = 0; i < PARTS; i++) {
            x[i] = 0;
        }
    }

    private void add(StepShape step, double part) {
        x[BASE] += part * GUESS[BASE];
        x[ROW] += part * GUESS[ROW] * step.rows;
        x[CONTEXT_TOKEN] += part * GUESS[CONTEXT_TOKEN] * step.contextTokens;
        x[ADAPTER] += part * GUESS[ADAPTER] * step.adapters;
        x[ADAPTER_PAGE] += part * GUESS[ADAPTER_PAGE] * step.adapterPages;
        x[ADAPTER_ROW] += part * GUESS[ADAPTER_ROW] * step.adapterRows;
        x[LOAD] += part * GUESS[LOAD] * step.loadPages;
        x[MERGE] += step.mergePages > 0 ? part * GUESS[MERGE] : 0;
    }

    private double times(double[] prices) {
        double sum = 0;
        for (int i = 0; i < PARTS; i++) {
            sum += x[i] * prices[i];
        }
        return sum;
    }

    @Override
    public void observe(StepShape step, long nanos) {
        if (nanos <= 0) {
            return;
        }
        clear();
        add(step, 1);
        double predicted = times(price);
        double guessed = 0;
        for (int i = 0; i < PARTS; i++) {
            guessed += ADAPTERS[i] ? 0 : x[i];
        }
        steps++;
        speedLog += (Math.log(nanos / guessed) - speedLog) / Math.min(steps, SPEED_STEPS);

        double larger = Math.max(predicted, (double) nanos);
        double off = Math.abs(nanos - predicted) / larger;
        double outlier = OUTLIER * Math.max(ERROR_MIN, error);
        double weight = off > outlier ? outlier / off : 1;
        error += ERROR_SHARE * (off - error);
        for (int i = 0; i < PARTS; i++) {
            x[i] /= larger;
        }
        squares.observe(x, nanos / larger, weight, KEPT);
        solve();
        if (steps % PUBLISH_STEPS == 1) {
            publish();
        }
    }

    private void solve() {
        double speed = Math.exp(speedLog);
        double noise = Math.max(ERROR_MIN, error);
        for (int i = 0; i < PARTS; i++) {
            double known = profile[i] / GUESS[i];
            prior[i] = known > 0 || ADAPTERS[i] ? known : speed;
            double guessDoubt = Math.max(speed, Math.max(price[i], i == ADAPTER_ROW ? price[ROW] : 0));
            double doubt = known > 0 ? PROFILE_DOUBT * known : guessDoubt;
            precision[i] = noise * noise / (doubt * doubt);
        }
        squares.solve(prior, precision, price);
    }

    /** Adapters and merging may seem to cost what something else does: while that is so they are said to cost nothing. */
    private void publish() {
        double noise = Math.max(ERROR_MIN, error);
        for (int i = 0; i < PARTS; i++) {
            clear();
            x[i] = 1;
            boolean matters = ADAPTERS[i] || i == MERGE;
            unsure[i] = matters && price[i] < SURE * noise * squares.deviation(x);
        }
        squares.solveWithout(unsure, prior, precision, surePrice);
        for (int i = 0; i < PARTS; i++) {
            PRICE.setOpaque(published, i, surePrice[i] * GUESS[i]);
        }
    }

    @Override
    public double error() {
        return error;
    }

    /** What has been learned, to start from the next time. Zero is what one cannot be sure of. */
    public Linear profile() {
        return new Linear(
                Math.round(seen(0)),
                Math.round(seen(ROW)),
                seen(2),
                Math.round(seen(3)),
                Math.round(seen(4)),
                Math.round(seen(ADAPTER_ROW)),
                Math.round(seen(LOAD)),
                Math.round(seen(MERGE)));
    }

    private double seen(int i) {
        return (double) PRICE.getOpaque(published, i);
    }
}
