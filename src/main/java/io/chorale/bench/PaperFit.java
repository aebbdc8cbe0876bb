package io.chorale.bench;

import io.chorale.bench.SLoraCells.Cell;
import io.chorale.bench.SLoraCells.Figures;
import io.chorale.simulate.SLoraDevices.Constants;
import java.util.Arrays;
import java.util.Locale;
import java.util.SplittableRandom;

/**
 * Fits the constants of S-LoRA's engine to three cells of its results, and to nothing else: a seeded search that changes a few
 * constants at a time and keeps what comes nearer. Prints each improvement; the last line goes into {@code SLoraDevices}.
 */
final class PaperFit {
    private static final double[] START = {0.9, 0.45, 9.2e-4, 240e12, 4.2e-4, 0.075, 50};
    private static final int TRIES = 600;
    /** Throughput of a cell that is not saturated says little, and is known most exactly. */
    private static final double THROUGHPUT_WEIGHT = 3;

    private static final double ATTAINMENT_WEIGHT = 2;

    void run() {
        SplittableRandom random = new SplittableRandom(1);
        double[] best = START;
        double least = distance(best);
        for (int i = 0; i < TRIES; i++) {
            double spread = i < TRIES / 2 ? 0.12 : 0.04;
            double[] tried = best.clone();
            for (int k = 0; k < tried.length; k++) {
                if (random.nextInt(3) == 0) {
                    tried[k] *= Math.exp(spread * random.nextGaussian());
                }
            }
            double distance = distance(tried);
            if (distance < least) {
                least = distance;
                best = tried;
                System.out.printf(Locale.ROOT, "%3d  %.4f  %s%n", i, least, Arrays.toString(best));
            }
        }
        for (Cell cell : SLoraCells.fitted()) {
            System.out.println(
                    cell.column() + " " + Figures.of(cell.simulate(constants(best))) + " of " + cell.paper());
        }
    }

    private static Constants constants(double[] c) {
        return new Constants(c[0], c[1], c[2], c[3], c[4], c[5], c[6]);
    }

    private static double distance(double[] constants) {
        double sum = 0;
        for (Cell cell : SLoraCells.fitted()) {
            Figures got = Figures.of(cell.simulate(constants(constants)));
            sum += square(THROUGHPUT_WEIGHT
                            * Math.log(got.throughput() / cell.paper().throughput()))
                    + square(Math.log(got.latency() / cell.paper().latency()))
                    + square(Math.log(got.ttft() / cell.paper().ttft()))
                    + square(
                            ATTAINMENT_WEIGHT * (got.attainment() - cell.paper().attainment()));
        }
        return sum;
    }

    private static double square(double x) {
        return x * x;
    }
}
