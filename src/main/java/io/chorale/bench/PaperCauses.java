package io.chorale.bench;

import io.chorale.bench.SLoraCells.Cell;
import io.chorale.bench.SLoraCells.Figures;
import io.chorale.simulate.SLoraDevices;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.ToDoubleFunction;

/**
 * Why cells are off: how much slower or faster than the fitted constants say an engine would have to be, in all its costs
 * alike, for a cell to come out as published. In saturation waits grow with what comes beyond what is served, so that
 * costs that are a tenth off are half a wait off.
 */
final class PaperCauses {
    private static final double SLOWEST = 1.3;
    private static final double FASTEST = 0.8;
    private static final double STEP = 0.05;

    /** Figures that a cell may have. */
    record Measure(String name, int places, ToDoubleFunction<Figures> of) {
        /** Simulated by published; NaN: there is none. */
        double ratio(Cell cell, Figures got) {
            return of.applyAsDouble(got) / of.applyAsDouble(cell.paper());
        }
    }

    /** The costs with which a cell is nearest, and what is off then. */
    private record Nearest(double factor, double distance, List<String> off) {}

    private final List<Measure> measures;
    private final double near;

    PaperCauses(List<Measure> measures, double near) {
        this.measures = measures;
        this.near = near;
    }

    void write(Map<Cell, Figures> got, StringBuilder page) {
        StringBuilder rows = new StringBuilder();
        int off = 0;
        int explained = 0;
        for (Map.Entry<Cell, Figures> entry : got.entrySet()) {
            Cell cell = entry.getKey();
            List<String> now = off(cell, entry.getValue());
            if (now.isEmpty()) {
                continue;
            }
            Nearest nearest = nearest(cell);
            off++;
            explained += nearest.off.isEmpty() ? 1 : 0;
            rows.append(String.format(
                    Locale.ROOT,
                    "| %s | %s | %s | %.3f | %s |%n",
                    cell.table(),
                    cell.column(),
                    String.join(", ", now),
                    nearest.factor,
                    nearest.off.isEmpty() ? "nothing" : String.join(", ", nearest.off)));
        }
        page.append(String.format(Locale.ROOT, """
                ### What is off, and by how much the engine's costs would have to be

                In saturation waits grow with what comes beyond what is served: at 6 requests a second on the A100-80 with S4 and 400
                adapters, a throughput that is a tenth too high goes with a latency a quarter too low and a time to first token a third too low.
                So each cell that is off was played again with all costs times one factor, from %.2f to %.2f, and the factor is given that
                brings its figures nearest to the published ones, and what is still more than %.0f %% away then. Of %d cells that are off, one
                factor brings %d within. The three cells do not say how the costs divide: host time for each sequence and time for each token
                of context can be exchanged for one another with hardly any change to them, and the two scale differently to the 13B model and
                to the A10G. No facts about those machines are at hand that would tell them apart; the last column is what remains
                unexplained.

                | table | cell | off | costs times | off then |
                |---|---|---|---|---|
                """, FASTEST, SLOWEST, 100 * near, off, explained));
        page.append(rows).append('\n');
    }

    private Nearest nearest(Cell cell) {
        Nearest best = new Nearest(1, Double.MAX_VALUE, List.of());
        for (double factor = FASTEST; factor < SLOWEST + STEP / 2; factor += STEP) {
            best = nearer(best, cell, factor);
        }
        double coarse = best.factor;
        best = nearer(best, cell, coarse - STEP / 2);
        return nearer(best, cell, coarse + STEP / 2);
    }

    private Nearest nearer(Nearest best, Cell cell, double factor) {
        Figures got = Figures.of(cell.simulate(SLoraDevices.FITTED, factor));
        double distance = 0;
        for (Measure measure : measures) {
            double ratio = measure.ratio(cell, got);
            distance = Double.isNaN(ratio) ? distance : Math.max(distance, Math.abs(ratio - 1));
        }
        return distance < best.distance ? new Nearest(factor, distance, off(cell, got)) : best;
    }

    private List<String> off(Cell cell, Figures got) {
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
