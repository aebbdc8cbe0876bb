package io.chorale.bench;

import io.chorale.bench.SLoraCell.Figures;
import io.chorale.bench.SLoraCell.Setting;
import io.chorale.simulate.SLoraDevices.Gpu;
import java.util.ArrayList;
import java.util.List;

/** S-LoRA's published results, cell by cell. NaN stands where the paper or its raw files give no figure. */
final class SLoraCells {
    /** First come, first served, nobody given up: what S-LoRA runs unless it is said otherwise. */
    static final String FCFS = "slora,order=arrival,abort=never";

    static final String NEWEST = "slora,order=newest,abort=never";
    static final String ABORT = "slora";

    /** Each adapter merged until its batch has ended. */
    static final String MERGED_IN_TURN = FCFS + ",clustering=one-at-a-time,merging=always-merged";

    static final String MERGES = "Merged or on the fly, A10G S2, R=2, 60 s";
    static final String CLUSTERS = "Clustering, A100 S4, n=32, R=2, 120 s";
    private static final String CLUSTERS_S2 = "Clustering, A100 S2, n=32, R=2, 120 s";
    private static final String CLUSTERS_AGAIN = "Clustering, A100 S2 run again, n=32, R=2, 120 s";

    static final int POOL_A100_80_7B = 125_000;
    static final int POOL_A100_80_13B = 65_000;
    private static final int POOL_SMALL = 14_500;
    /** On the 40 GB card, but for the clustering cells. */
    private static final int POOL_A100_40_13B = 14_000;

    private final List<SLoraCell> cells = new ArrayList<>();

    private SLoraCells() {}

    static List<SLoraCell> all() {
        SLoraCells all = new SLoraCells();
        all.throughputTable();
        all.adapters();
        all.rates();
        all.orders();
        all.clusters();
        all.merges();
        return all.cells;
    }

    /** What the constants are fitted to. */
    static List<SLoraCell> fitted() {
        return List.of(
                base("fit", Gpu.A100_80, Setting.S2, POOL_A100_80_7B, 0, 10, Figures.of(9.64, 22.2, 0.92, 1)),
                base("fit", Gpu.A100_80, Setting.S2, POOL_A100_80_7B, 20, 10, Figures.of(7.93, 56.9, 25.84, 0.28)),
                base("fit", Gpu.A100_80, Setting.S4, POOL_A100_80_13B, 400, 1, Figures.of(0.94, 15.3, 0.36, 1)));
    }

    private static SLoraCell base(
            String table, Gpu gpu, Setting setting, int pool, int adapters, double rate, Figures paper) {
        return new SLoraCell(
                table, gpu, setting, pool, adapters, 1, rate, 1, 300, FCFS, "n=" + adapters + " R=" + rate, paper);
    }

    private void add(String table, Gpu gpu, Setting setting, int pool, int adapters, double rate, Figures paper) {
        cells.add(base(table, gpu, setting, pool, adapters, rate, paper));
    }

    private void throughputTable() {
        int[] many = {5, 100, 1000, 2000};
        double[] s1 = {8.05, 7.99, 7.64, 7.61};
        double[] s1Ttft = {0.60, Double.NaN, Double.NaN, 2.02};
        double[] s2 = {7.48, 7.29, 6.69, 6.71};
        double[] s2Ttft = {2.66, Double.NaN, Double.NaN, 10.65};
        for (int i = 0; i < many.length; i++) {
            tableThree(Setting.S1, POOL_A100_80_7B, many[i], s1[i], s1Ttft[i]);
        }
        for (int i = 0; i < many.length; i++) {
            tableThree(Setting.S2, POOL_A100_80_7B, many[i], s2[i], s2Ttft[i]);
        }
        int[] few = {2, 100, 1000};
        double[] s4 = {4.49, 4.28, 3.96};
        for (int i = 0; i < few.length; i++) {
            tableThree(Setting.S4, POOL_A100_80_13B, few[i], s4[i], Double.NaN);
        }
    }

    private void tableThree(Setting setting, int pool, int adapters, double throughput, double ttft) {
        cells.add(new SLoraCell(
                "Table 3, A100-80, R=10, 120 s",
                Gpu.A100_80,
                setting,
                pool,
                adapters,
                1,
                10,
                1,
                120,
                FCFS,
                setting + " n=" + adapters,
                Figures.of(throughput, Double.NaN, ttft, Double.NaN)));
    }

    private void adapters() {
        double[][] a10gS1 = {
            {0, 1.86, 15.8, 2.06, 0.86},
            {1, 1.83, 18.1, 3.36, 0.71},
            {20, 1.81, 19.0, 4.33, 0.61},
            {50, 1.79, 20.1, 5.36, 0.53},
            {100, 1.78, 20.8, 6.01, 0.52},
            {200, 1.78, 21.1, 6.29, 0.50}
        };
        byAdapters("A10G S1, R=2", Gpu.A10G, Setting.S1, POOL_SMALL, 2, a10gS1);
        double[][] a10gS2 = {
            {1, 1.74, 24.2, 8.16, 0.49},
            {20, 1.68, 28.6, 13.41, 0.45},
            {50, 1.61, 36.4, 21.15, 0.30},
            {100, 1.59, 38.1, 22.88, 0.27},
            {200, 1.58, 38.8, 23.58, 0.27}
        };
        byAdapters("A10G S2, R=2", Gpu.A10G, Setting.S2, POOL_SMALL, 2, a10gS2);
        double[][] a100Small = {
            {0, 1.82, 17.1, 2.74, 0.78}, {1, 1.67, 28.7, 12.25, 0.45}, {20, 1.52, 43.1, 27.22, 0.24},
            {50, 1.45, 52.7, 36.91, 0.17}, {100, 1.41, 59.1, 43.34, 0.12}, {200, 1.41, 58.7, 42.98, 0.12}
        };
        byAdapters("A100-40 S4, R=2", Gpu.A100_40, Setting.S4, POOL_A100_40_13B, 2, a100Small);
        double[][] s2 = {
            {1, 7.74, 61.7, 29.31, 0.27},
            {50, 7.84, 58.9, 28.19, 0.27},
            {100, 7.74, 60.7, 30.75, 0.22},
            {200, 7.52, 66.7, 37.24, 0.19}
        };
        byAdapters("A100-80 S2, R=10", Gpu.A100_80, Setting.S2, POOL_A100_80_7B, 10, s2);
        double[][] s4 = {
            {0, 5.59, 25.2, 2.85, 0.85},
            {1, 4.43, 67.6, 37.26, 0.21},
            {100, 4.30, 71.7, 45.31, 0.12},
            {200, 4.17, 77.6, 51.59, 0.10},
            {400, 4.06, 84.1, 58.20, 0.10}
        };
        byAdapters("A100-80 S4, R=6", Gpu.A100_80, Setting.S4, POOL_A100_80_13B, 6, s4);
    }

    private void byAdapters(String table, Gpu gpu, Setting setting, int pool, double rate, double[][] rows) {
        for (double[] row : rows) {
            add(table, gpu, setting, pool, (int) row[0], rate, Figures.of(row[1], row[2], row[3], row[4]));
        }
    }

    private void rates() {
        double[][] s4 = {
            {2, 1.84, 17.2, 0.50, 1.00},
            {4, 3.54, 23.0, 0.74, 1.00},
            {6, 4.01, 86.3, 60.02, 0.10},
            {8, 4.02, 163.2, 136.52, 0.06}
        };
        for (double[] row : s4) {
            add(
                    "A100-80 S4 by rate, n=400",
                    Gpu.A100_80,
                    Setting.S4,
                    POOL_A100_80_13B,
                    400,
                    row[0],
                    Figures.of(row[1], row[2], row[3], row[4]));
        }
        double[][] s1 = {
            {1, 0.96, 11.5, 0.28, 1.00},
            {1.5, 1.37, 13.5, 0.37, 1.00},
            {2, 1.78, 20.9, 6.08, 0.52},
            {2.5, 1.80, 67.6, 52.16, 0.11}
        };
        byRate(Setting.S1, s1);
        double[][] s2 = {
            {1, 0.96, 12.2, 0.32, 1.00},
            {1.5, 1.36, 15.5, 1.17, 0.98},
            {2, 1.58, 38.9, 23.63, 0.27},
            {2.5, 1.54, 102.9, 87.41, 0.05}
        };
        byRate(Setting.S2, s2);
        double[][] skew = {
            {0.1, 1.63, 34.0, 17.77, 0.38},
            {0.3, 1.57, 39.4, 23.72, 0.26},
            {0.6, 1.53, 45.0, 29.51, 0.23},
            {1, 1.54, 42.7, 27.12, 0.23}
        };
        double[][] skewAborted = {
            {0.1, 1.66, 19.1, 3.07, 0.77},
            {0.3, 1.58, 19.6, 4.05, 0.65},
            {0.6, 1.54, 19.3, 4.14, 0.61},
            {1, 1.56, 19.7, 4.43, 0.62}
        };
        bySkew(FCFS, "", skew);
        bySkew(ABORT, " early abort", skewAborted);
    }

    private void byRate(Setting setting, double[][] rows) {
        for (double[] row : rows) {
            String table = "A10G " + setting + " by rate, n=200";
            add(table, Gpu.A10G, setting, POOL_SMALL, 200, row[0], Figures.of(row[1], row[2], row[3], row[4]));
        }
    }

    private void bySkew(String policy, String name, double[][] rows) {
        for (double[] row : rows) {
            cells.add(new SLoraCell(
                    "A10G S2 by skew, n=200, R=2",
                    Gpu.A10G,
                    Setting.S2,
                    POOL_SMALL,
                    200,
                    row[0],
                    2,
                    1,
                    300,
                    policy,
                    "alpha=" + row[0] + name,
                    Figures.of(row[1], row[2], row[3], row[4])));
        }
    }

    /** Satisfaction, attainment, mean time to first token. */
    private void orders() {
        double[][][] a10gS1 = {
            {{0.490, 0.517, 6.06}, {0.902, 0.942, 0.76}},
            {{0.434, 0.477, 8.73}, {0.830, 0.898, 1.08}},
            {{0.506, 0.562, 9.78}, {0.734, 0.815, 1.34}},
            {{0.464, 0.518, 16.19}, {0.702, 0.758, 1.46}},
            {{0.416, 0.480, 11.04}, {0.632, 0.743, 2.01}}
        };
        byOrder("A10G S1 by burstiness, n=200, R=2", Gpu.A10G, Setting.S1, POOL_SMALL, 200, 2, a10gS1);
        double[][][] a10gS2 = {
            {{0.197, 0.270, 23.74}, {0.729, 0.790, 21.46}, {0.755, 0.858, 1.34}},
            {{0.227, 0.263, 27.23}, {0.641, 0.697, 27.62}, {0.713, 0.817, 1.47}},
            {{0.371, 0.433, 18.73}, {0.572, 0.640, 19.15}, {0.666, 0.743, 1.41}},
            {{0.369, 0.408, 25.43}, {0.529, 0.600, 26.95}, {0.631, 0.690, 1.57}},
            {{0.263, 0.315, 17.95}, {0.413, 0.500, 18.20}, {0.547, 0.637, 1.92}}
        };
        byOrder("A10G S2 by burstiness, n=200, R=2", Gpu.A10G, Setting.S2, POOL_SMALL, 200, 2, a10gS2);
        double[][][] a100S4 = {
            {{0.096, 0.101, 62.59}, {0.655, 0.699, 62.78}, {0.646, 0.719, 1.45}},
            {{0.094, 0.101, 57.53}, {0.645, 0.701, 56.16}, {0.633, 0.719, 1.60}},
            {{0.087, 0.099, 57.47}, {0.524, 0.593, 57.89}, {0.587, 0.685, 1.90}},
            {{0.206, 0.279, 34.15}, {0.449, 0.575, 34.96}, {0.538, 0.660, 2.56}},
            {{0.077, 0.136, 42.33}, {0.322, 0.447, 43.29}, {0.394, 0.562, 3.71}}
        };
        byOrder("A100-80 S4 by burstiness, n=400, R=6", Gpu.A100_80, Setting.S4, POOL_A100_80_13B, 400, 6, a100S4);
    }

    private void byOrder(
            String table, Gpu gpu, Setting setting, int pool, int adapters, double rate, double[][][] rows) {
        double[] variations = {1, 2, 4, 6, 8};
        boolean all = rows[0].length > 2; // of one table newest first is missing
        String[] policies = all ? new String[] {FCFS, NEWEST, ABORT} : new String[] {FCFS, ABORT};
        String[] names = all
                ? new String[] {"oldest first", "newest first", "early abort"}
                : new String[] {"oldest first", "early abort"};
        for (int v = 0; v < variations.length; v++) {
            for (int p = 0; p < policies.length; p++) {
                double[] row = rows[v][p];
                cells.add(new SLoraCell(
                        table,
                        gpu,
                        setting,
                        pool,
                        adapters,
                        1,
                        rate,
                        variations[v],
                        300,
                        policies[p],
                        "cv=" + (int) variations[v] + " " + names[p],
                        new Figures(Double.NaN, Double.NaN, row[2], row[1], row[0])));
            }
        }
    }

    /** By D, the soft limit on adapters in the batch, from 1 to 32: none of 32 adapters is ever preferred. */
    private void clusters() {
        double[][][] s4 = {
            {
                {1.23, 39.4, 20.2, 0.38},
                {1.24, 39.2, 20.2, 0.38},
                {1.23, 40.5, 21.5, 0.38},
                {1.20, 41.6, 22.8, 0.35},
                {1.19, 42.5, 23.6, 0.30}
            },
            {
                {1.26, 40.2, 22.1, 0.43},
                {1.26, 39.9, 21.8, 0.45},
                {1.24, 40.6, 22.3, 0.43},
                {1.22, 41.7, 23.6, 0.36},
                {1.18, 43.9, 26.1, 0.27}
            },
            {
                {1.29, 38.1, 20.8, 0.47},
                {1.27, 38.4, 20.9, 0.45},
                {1.29, 38.8, 21.4, 0.47},
                {1.28, 37.0, 19.7, 0.50},
                {1.18, 43.8, 26.5, 0.27}
            },
            {
                {1.23, 39.9, 22.4, 0.50},
                {1.26, 38.0, 20.8, 0.49},
                {1.26, 37.1, 20.1, 0.51},
                {1.25, 38.3, 21.1, 0.49},
                {1.17, 43.8, 26.8, 0.28}
            }
        };
        double[][][] s2 = {
            {
                {1.69, 16.0, 3.1, 0.84},
                {1.70, 14.3, 1.9, 0.91},
                {1.69, 14.7, 2.2, 0.90},
                {1.72, 13.9, 1.8, 0.94},
                {1.69, 14.8, 2.3, 0.92}
            },
            {
                {1.70, 15.2, 2.8, 0.84},
                {1.73, 14.8, 2.5, 0.85},
                {1.70, 15.4, 3.0, 0.83},
                {1.74, 13.7, 1.9, 0.90},
                {1.65, 15.6, 3.1, 0.78}
            },
            {
                {1.69, 14.6, 2.6, 0.84},
                {1.73, 14.9, 2.8, 0.82},
                {1.72, 15.4, 3.0, 0.81},
                {1.75, 13.9, 2.1, 0.87},
                {1.65, 15.9, 3.6, 0.73}
            },
            {
                {1.73, 14.5, 2.6, 0.85},
                {1.69, 15.4, 3.2, 0.84},
                {1.68, 15.9, 3.6, 0.79},
                {1.71, 14.1, 2.3, 0.85},
                {1.64, 16.6, 4.2, 0.68}
            }
        };
        double[][][] s2Again = {
            {
                {1.81, 9.7, 0.4, 1.00},
                {1.81, 9.8, 0.4, 1.00},
                {1.80, 9.9, 0.4, 1.00},
                {1.81, 9.6, 0.4, 1.00},
                {1.81, 9.8, 0.4, 1.00}
            },
            {
                {1.87, 12.5, 3.1, 0.77},
                {1.86, 12.7, 3.1, 0.78},
                {1.87, 12.7, 3.1, 0.76},
                {1.89, 11.8, 2.7, 0.84},
                {1.85, 12.9, 3.4, 0.82}
            },
            {
                {2.07, 20.3, 10.7, 0.45},
                {2.06, 20.1, 10.5, 0.47},
                {2.06, 20.4, 10.7, 0.47},
                {2.12, 19.1, 9.8, 0.50},
                {1.97, 22.4, 12.7, 0.25}
            },
            {
                {2.04, 25.2, 16.0, 0.43},
                {1.99, 27.0, 17.3, 0.43},
                {1.95, 27.1, 17.4, 0.38},
                {2.01, 25.6, 16.3, 0.42},
                {1.86, 29.4, 19.8, 0.24}
            },
            {
                {1.60, 30.0, 20.3, 0.40},
                {1.64, 28.1, 18.9, 0.39},
                {1.62, 28.9, 19.5, 0.38},
                {1.59, 30.4, 20.7, 0.38},
                {1.54, 31.7, 22.4, 0.24}
            }
        };
        double[] alphas = {0.1, 0.3, 0.6, 1};
        double[] variations = {1, 2, 4, 6, 8};
        for (int i = 0; i < alphas.length; i++) {
            byCluster(CLUSTERS, Setting.S4, alphas[i], 1, "alpha=" + alphas[i], s4[i]);
        }
        for (int i = 0; i < alphas.length; i++) {
            byCluster(CLUSTERS_S2, Setting.S2, alphas[i], 1, "alpha=" + alphas[i], s2[i]);
        }
        for (int i = 0; i < variations.length; i++) {
            byCluster(CLUSTERS_AGAIN, Setting.S2, 1, variations[i], "cv=" + (int) variations[i], s2Again[i]);
        }
    }

    private void byCluster(
            String table, Setting setting, double alpha, double variation, String name, double[][] rows) {
        int[] limits = {1, 2, 4, 8, 32};
        for (int d = 0; d < limits.length; d++) {
            double[] row = rows[d];
            cells.add(new SLoraCell(
                    table,
                    Gpu.A100_40, // whose memory leaves such a pool
                    setting,
                    POOL_SMALL,
                    32,
                    alpha,
                    2,
                    variation,
                    120,
                    FCFS + ",clustering=soft-limit,cluster-adapters=" + limits[d],
                    name + " D=" + limits[d],
                    Figures.of(row[0], row[1], row[2], row[3])));
        }
    }

    private void merges() {
        int[] adapters = {1, 2, 2, 5, 5};
        double[] alphas = {1, 0.1, 1, 0.1, 1};
        double[][] merged = {
            {1.59, 15.6, 2.0, 0.94},
            {1.35, 17.6, 4.5, 0.90},
            {1.15, 32.3, 20.5, 0.31},
            {0.95, 21.5, 9.3, 0.86},
            {0.73, 58.6, 48.7, 0.11}
        };
        double[][] unmerged = {
            {1.41, 20.9, 5.0, 0.57},
            {1.41, 20.9, 5.1, 0.56},
            {1.44, 19.8, 4.6, 0.58},
            {1.41, 20.9, 5.5, 0.56},
            {1.42, 20.3, 5.2, 0.57}
        };
        for (int i = 0; i < adapters.length; i++) {
            merge(adapters[i], alphas[i], MERGED_IN_TURN, "merged", merged[i]);
            merge(adapters[i], alphas[i], FCFS, "on the fly", unmerged[i]);
        }
    }

    private void merge(int adapters, double alpha, String policy, String name, double[] row) {
        cells.add(new SLoraCell(
                MERGES,
                Gpu.A10G,
                Setting.S2,
                POOL_SMALL,
                adapters,
                alpha,
                2,
                1,
                60,
                policy,
                "n=" + adapters + " alpha=" + alpha + " " + name,
                Figures.of(row[0], row[1], row[2], row[3])));
    }
}
