package io.chorale.bench;

import io.chorale.bench.SLoraCell.Figures;
import io.chorale.simulate.SLoraDevices.Constants;
import java.util.Arrays;
import java.util.Locale;
import java.util.SplittableRandom;

/**
 * Fits the constants of S-LoRA's engine to three cells of its results, and to nothing else: a seeded search that changes a few
 * constants at a time and keeps what comes nearer. Prints each improvement; the last line goes into {@code SLoraDevices}.
 */
final class PaperFit {
    private static final double[] START = {48, 9e-4, 250e12, 4.7e-4, 0.053, 90};
    private static final int TRIES = 300;
    /** Throughput of a cell that is not saturated says little, and is known most exactly. */
    private static final double THROUGHPUT_WEIGHT = 3;

    private static final double ATTAINMENT_WEIGHT = 2;

    void run() {
        SplittableRandom random = new SplittableRandom(1);
        double[] best = START;
        double least = distance(best);
        for (int i = 0; i < TRIES; i++) {
            double spread = i < TRIES / 2 ? 0.05 : 0.02;
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
        for (SLoraCell cell : SLoraCells.fitted()) {
            System.out.println(
                    cell.column() + " " + Figures.of(cell.simulate(constants(best))) + " of " + cell.paper());
        }
    }

    private static Constants constants(double[] c) {
        return new Constants(c[0], c[1], c[2], c[3], c[4], c[5]);
    }

    private static double distance(double[] constants) {
        return SLoraCells.fitted().parallelStream()
                .mapToDouble(cell -> distance(cell, Figures.of(cell.simulate(constants(constants)))))
                .sum();
    }

    private static double distance(SLoraCell cell, Figures got) {
        Figures paper = cell.paper();
        return square(THROUGHPUT_WEIGHT * Math.log(got.throughput() / paper.throughput()))
                + square(Math.log(got.latency() / paper.latency()))
                + square(Math.log(got.ttft() / paper.ttft()))
                + square(ATTAINMENT_WEIGHT * (got.attainment() - paper.attainment()));
    }

    private static double square(double x) {
        return x * x;
    }
}
