package io.chorale.bench;

import io.chorale.bench.SLoraCell.Figures;
import io.chorale.simulate.SLoraDevices;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.ToDoubleFunction;

/**
 * Why cells are off: how much slower or faster than the fitted constants say an engine would have to be, in all its costs
 * alike, for a cell to come out as published. Near saturation waits grow with what comes beyond what is served, so that
 * costs that are a tenth off are half a wait off.
 */
final class PaperCauses {
    private static final double STEP = 0.025;
    private static final int STEPS = 12;
    /** Bounds on the change of the costs for which cells are counted. */
    private static final double SMALL = 0.05;

    private static final double FAIR = 0.1;

    /** Figures that a cell may have. */
    record Measure(String name, int places, ToDoubleFunction<Figures> of) {
        /** Simulated by published; NaN: there is none. */
        double ratio(SLoraCell cell, Figures got) {
            return of.applyAsDouble(got) / of.applyAsDouble(cell.paper());
        }
    }

    /** A change of the costs, how far the figure that is furthest off is then, and which are off. */
    private record Changed(double factor, double distance, List<String> off) {}

    private final List<Measure> measures;
    private final double near;

    PaperCauses(List<Measure> measures, double near) {
        this.measures = measures;
        this.near = near;
    }

    void write(Map<SLoraCell, Figures> got, StringBuilder page) {
        List<SLoraCell> off = got.keySet().stream()
                .filter(cell -> !off(cell, got.getOrDefault(cell, cell.paper())).isEmpty())
                .toList();
        List<Changed> changes = off.parallelStream().map(this::leastChange).toList();
        StringBuilder rows = new StringBuilder();
        for (int i = 0; i < off.size(); i++) {
            SLoraCell cell = off.get(i);
            Changed least = changes.get(i);
            rows.append(String.format(
                    Locale.ROOT,
                    "| %s | %s | %s | %.3f | %s |%n",
                    cell.table(),
                    cell.column(),
                    String.join(", ", off(cell, got.getOrDefault(cell, cell.paper()))),
                    least.factor,
                    least.off.isEmpty() ? "nothing" : String.join(", ", least.off)));
        }
        page.append(String.format(
                Locale.ROOT,
                """
                ### What is off, and by how much the engine's costs would have to be

                Near saturation waits grow with what comes beyond what is served, so that a throughput that is a few percent off goes with a
                latency that is a quarter and a time to first token that is a third off. So each cell that is off was played again with all
                costs times one factor, and the factor nearest to 1 is given with which all its figures are within %.0f %%, from %.2f to %.2f in
                steps of %.3f; where there is none, the one that brings the figures nearest, and what is off then. That is how far the model of
                the engine is off. **Of %d cells that are off, costs changed by at most %.0f %% bring %d within, by at most %.0f %% %d, by at
                most %.0f %% %d.**

                What is left, and what would close it:

                - The clustering runs of S4 are slower than the published run of the same card, model and nearly the same pool, and as slow as the
                  earlier one that S-LoRA's repository keeps; those of S2 lie on both sides, the first slower and the second faster by half. With
                  D=32 no cluster ever forms, so that they are plain first come, first served.
                - Without adapters the host's launches decide on the 40 GB card, and no fitted cell is bound by them without adapters: their price
                  there is the one with adapters. One more fitted cell would tell.
                - With cv of 6 and 8 requests come in heaps, and the first token of S-LoRA's early abort comes later than here: its HTTP process,
                  which takes them in one after the other, is a constant here.
                - The A10G's host is taken to be the A100's; its waits are so near saturation that 2.5 %% decide.

                | table | cell | off | costs times | off then |
                |---|---|---|---|---|
                """,
                100 * near,
                1 - STEPS * STEP,
                1 + STEPS * STEP,
                STEP,
                off.size(),
                100 * SMALL,
                within(changes, SMALL),
                100 * FAIR,
                within(changes, FAIR),
                100 * STEPS * STEP,
                within(changes, STEPS * STEP)));
        page.append(rows).append('\n');
    }

    /** How many are brought within by a change of at most so much. */
    private static long within(List<Changed> changes, double part) {
        return changes.stream()
                .filter(changed -> changed.off.isEmpty() && Math.abs(changed.factor - 1) < part + STEP / 2)
                .count();
    }

    /** The change nearest to none with which nothing is off; where there is none, the one that brings the figures nearest. */
    private Changed leastChange(SLoraCell cell) {
        Changed nearest = changed(cell, 1);
        for (int i = 1; i <= STEPS && !nearest.off.isEmpty(); i++) {
            Changed slower = changed(cell, 1 + i * STEP);
            Changed faster = changed(cell, 1 - i * STEP);
            Changed nearer = slower.distance < faster.distance ? slower : faster;
            nearest = nearer.distance < nearest.distance ? nearer : nearest;
        }
        return nearest;
    }

    private Changed changed(SLoraCell cell, double factor) {
        Figures got = Figures.of(cell.simulate(SLoraDevices.FITTED, factor));
        double distance = 0;
        for (Measure measure : measures) {
            double ratio = measure.ratio(cell, got);
            distance = Double.isNaN(ratio) ? distance : Math.max(distance, Math.abs(ratio - 1));
        }
        return new Changed(factor, distance, off(cell, got));
    }

    private List<String> off(SLoraCell cell, Figures got) {
        List<String> names = new ArrayList<>();
        for (Measure measure : measures) {
            double ratio = measure.ratio(cell, got);
            if (Math.abs(ratio - 1) > near) {
                names.add(String.format(Locale.ROOT, "%s %.2f", measure.name, ratio));
            }
        }
        return names;
    }
}
