package io.chorale.simulate;

import java.util.Arrays;

/**
 * What happened when: equal intervals of time with sums and last values in each. Their number is bounded: when it is
 * reached, neighbours are put together and the intervals are twice as long from then on.
 */
public final class TimeSeries {
    private static final int INTERVALS_MAX = 400;
    private static final double FIRST_SECONDS = 0.25;

    private final String[] names;
    private final boolean[] sums;
    private final double[][] values;
    private double intervalSeconds = FIRST_SECONDS;
    private int size = 1;

    /** @param sums for each column, whether values of an interval are added up; otherwise the last one stands */
    TimeSeries(String[] names, boolean[] sums) {
        this.names = names;
        this.sums = sums;
        values = new double[names.length][INTERVALS_MAX];
    }

    /** Goes on to the interval of a time. Times never go back by more than an interval. */
    void moveTo(double seconds) {
        while ((int) (seconds / intervalSeconds) >= INTERVALS_MAX) {
            halve();
        }
        int wanted = (int) (seconds / intervalSeconds) + 1;
        for (; size < wanted; size++) {
            for (int column = 0; column < values.length; column++) {
                values[column][size] = sums[column] ? 0 : values[column][size - 1];
            }
        }
    }

    private void halve() {
        for (int column = 0; column < values.length; column++) {
            double[] of = values[column];
            for (int i = 0; i < INTERVALS_MAX / 2; i++) {
                of[i] = sums[column] ? of[2 * i] + of[2 * i + 1] : of[2 * i + 1];
            }
            Arrays.fill(of, INTERVALS_MAX / 2, INTERVALS_MAX, 0);
        }
        size = Math.max(1, Math.ceilDiv(size, 2));
        intervalSeconds *= 2;
    }

    void add(int column, double value) {
        values[column][size - 1] += value;
    }

    void set(int column, double value) {
        values[column][size - 1] = value;
    }

    public double intervalSeconds() {
        return intervalSeconds;
    }

    public int size() {
        return size;
    }

    /** The column of a name: sums by second, or last values. */
    public double[] column(String name) {
        int column = Arrays.asList(names).indexOf(name);
        if (column < 0) {
            throw new IllegalArgumentException("no column " + name);
        }
        double[] copy = Arrays.copyOf(values[column], size);
        if (sums[column]) {
            Arrays.setAll(copy, i -> copy[i] / intervalSeconds);
        }
        return copy;
    }
}
