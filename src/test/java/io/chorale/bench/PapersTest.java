package io.chorale.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.chorale.bench.SLoraCell.Figures;
import io.chorale.simulate.DeviceProfile;
import io.chorale.simulate.DeviceProfiles;
import io.chorale.simulate.SLoraDevices;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Guards what docs/PAPERS.md says of the papers: a few cells of each kind. */
class PapersTest {
    private static final double NEAR = 0.15;

    private static Figures simulate(SLoraCell cell) {
        return Figures.of(cell.simulate(SLoraDevices.FITTED));
    }

    private static SLoraCell cell(String table, String column) {
        List<SLoraCell> found = SLoraCells.all().stream()
                .filter(cell -> cell.table().startsWith(table) && cell.column().equals(column))
                .toList();
        assertEquals(1, found.size(), () -> table + ": " + column);
        return found.getFirst();
    }

    private static void assertNear(double paper, double got, String what) {
        assertEquals(1, got / paper, NEAR, what);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2})
    void theFittedCellsAreNearInEveryFigure(int i) {
        SLoraCell cell = SLoraCells.fitted().get(i);
        Figures got = simulate(cell);
        assertNear(cell.paper().throughput(), got.throughput(), "throughput");
        assertNear(cell.paper().latency(), got.latency(), "latency");
        assertNear(cell.paper().ttft(), got.ttft(), "time to first token");
        assertNear(cell.paper().attainment(), got.attainment(), "attainment");
    }

    @ParameterizedTest
    @ValueSource(strings = {"S1 n=5", "S1 n=2000", "S2 n=100", "S4 n=2", "S4 n=1000"})
    void throughputIsNearWhereNothingWasFitted(String column) {
        SLoraCell cell = cell("Table 3", column);
        assertNear(cell.paper().throughput(), simulate(cell).throughput(), column);
    }

    @ParameterizedTest
    @ValueSource(ints = {4, 6, 8})
    void earlyAbortSatisfiesMoreThanNewestFirstAndThatMoreThanOldestFirst(int variation) {
        String table = "A10G S2 by burstiness";
        double oldest =
                simulate(cell(table, "cv=" + variation + " oldest first")).satisfaction();
        double newest =
                simulate(cell(table, "cv=" + variation + " newest first")).satisfaction();
        double abort = simulate(cell(table, "cv=" + variation + " early abort")).satisfaction();
        assertTrue(oldest < newest && newest <= abort, () -> oldest + " " + newest + " " + abort);
    }

    @Test
    void mergingWinsForOneAdapterAndLosesForFive() {
        double merged =
                simulate(cell(SLoraCells.MERGES, "n=1 alpha=1.0 merged")).throughput();
        double onTheFly =
                simulate(cell(SLoraCells.MERGES, "n=1 alpha=1.0 on the fly")).throughput();
        assertTrue(merged > 1.1 * onTheFly, () -> merged + " against " + onTheFly);
        double mergedOfFive =
                simulate(cell(SLoraCells.MERGES, "n=5 alpha=1.0 merged")).throughput();
        double onTheFlyOfFive =
                simulate(cell(SLoraCells.MERGES, "n=5 alpha=1.0 on the fly")).throughput();
        assertTrue(mergedOfFive < 0.9 * onTheFlyOfFive, () -> mergedOfFive + " against " + onTheFlyOfFive);
    }

    /** At every skew sooner; in throughput by less than the end of a single run of two minutes is worth. */
    @Test
    void clusteringGainsAtSaturation() {
        double clusteredSum = 0;
        double scatteredSum = 0;
        for (String skew : List.of("alpha=0.1", "alpha=0.3", "alpha=0.6", "alpha=1.0")) {
            Figures clustered = simulate(cell(SLoraCells.CLUSTERS, skew + " D=1"));
            Figures scattered = simulate(cell(SLoraCells.CLUSTERS, skew + " D=32"));
            assertTrue(clustered.attainment() > 1.1 * scattered.attainment(), () -> skew + clustered + scattered);
            assertTrue(clustered.latency() < scattered.latency(), () -> skew + clustered + scattered);
            clusteredSum += clustered.throughput();
            scatteredSum += scattered.throughput();
        }
        assertTrue(clusteredSum > scatteredSum, clusteredSum + " " + scatteredSum);
    }

    @ParameterizedTest
    @ValueSource(doubles = {0.15, 0.3, 0.5, 0.67, 0.9})
    void dynamicMergingIsAsGoodAsTheBetterOfNeverAndAlways(double topShare) {
        dynamicWins(DeviceProfiles.DLORA_A800_7B, topShare, 4);
        dynamicWins(DeviceProfiles.H100_8B, topShare, 18);
    }

    private static void dynamicWins(DeviceProfile device, double topShare, double rate) {
        double never =
                DLoraFigure.play(device, topShare, rate, DLoraFigure.UNMERGED).meanNormalisedLatency();
        double always =
                DLoraFigure.play(device, topShare, rate, DLoraFigure.MERGED).meanNormalisedLatency();
        for (String policy : List.of(DLoraFigure.DYNAMIC, DLoraFigure.OURS)) {
            double dynamic = DLoraFigure.play(device, topShare, rate, policy).meanNormalisedLatency();
            assertTrue(
                    dynamic <= 1.05 * Math.min(never, always),
                    () -> device.name() + ", " + policy + " " + dynamic + ", never " + never + ", always " + always);
        }
    }
}
