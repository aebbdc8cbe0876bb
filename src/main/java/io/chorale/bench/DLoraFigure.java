package io.chorale.bench;

import io.chorale.simulate.DeviceProfile;
import io.chorale.simulate.DeviceProfiles;
import io.chorale.simulate.Dispatcher;
import io.chorale.simulate.PolicyText;
import io.chorale.simulate.Simulation;
import io.chorale.simulate.SimulationResult;
import io.chorale.simulate.SimulationSettings;
import io.chorale.simulate.SimulationSettings.Batch;
import io.chorale.simulate.SimulationSettings.Door;
import io.chorale.simulate.SimulationSettings.Objectives;
import io.chorale.workload.DLoraGenerator;
import io.chorale.workload.RetryRule;
import java.util.Locale;

/**
 * dLoRA's figure 10: one GPU, eight adapters of rank 16, requests for them more and more skewed; weights never merged, always
 * merged, and as the policy says. On dLoRA's own constants and on an H100.
 */
final class DLoraFigure {
    static final double[] TOP_SHARES = {0.15, 0.3, 0.5, 0.67, 0.9};
    static final String UNMERGED = "fcfs";
    static final String MERGED = "fcfs,merging=always-merged";
    static final String DYNAMIC = "dlora";
    static final String OURS = "chorale,abort=never";

    private static final double SECONDS = 100;
    private static final int ADAPTERS = 8;
    private static final int RANK = 16;
    private static final int SEED = 42;

    static SimulationResult play(DeviceProfile device, double topShare, double rate, String policy) {
        SimulationSettings settings = new SimulationSettings(
                device,
                PolicyText.parse(policy),
                policy,
                new Batch(512, ADAPTERS, 64, 2, 0),
                Door.OPEN,
                1,
                Dispatcher.ROUND_ROBIN,
                RetryRule.NEVER,
                new Objectives(6, 0.5),
                SEED);
        DLoraGenerator requests = new DLoraGenerator(ADAPTERS, topShare, rate, SECONDS, SEED, new int[] {RANK});
        return new Simulation(settings, requests.draw()).run(Simulation.Progress.SILENT);
    }

    void write(StringBuilder page) {
        page.append("""
                ## dLoRA, figure 10

                Eight adapters of rank 16 on one GPU, with a stand-in for the workload (its files are not redistributed): seconds a token,
                mean / 90th percentile over requests of latency by length of answer. Published, by stride 4, 8, 16, 32 of its trace (more is
                more skewed): never merged 1.25, 1.34, 1.35, 1.43; always merged 2.28, 1.53, 1.12, 1.06; dLoRA 0.58, 0.68, 0.72, 0.60.

                """);
        table(page, "dLoRA's constants (A800, 16 sequences at once), 4 requests/s", DeviceProfiles.DLORA_A800_7B, 4);
        DeviceProfile h100 = DeviceProfiles.H100_8B;
        table(page, "H100, 16 sequences at once, 7 requests/s", h100.withSequencesMax(16), 7);
        table(page, "H100, 256 sequences at once, 18 requests/s", h100, 18);
    }

    private static void table(StringBuilder page, String name, DeviceProfile device, double rate) {
        page.append("### ").append(name).append("\n\n| share of the most wanted | never merged | always merged |");
        page.append(
                " dLoRA's thresholds | Chorale's rule | merged time of the last two |\n|---|---|---|---|---|---|\n");
        for (double share : TOP_SHARES) {
            SimulationResult dynamic = play(device, share, rate, DYNAMIC);
            SimulationResult ours = play(device, share, rate, OURS);
            page.append(String.format(
                    Locale.ROOT,
                    "| %.0f %% | %s | %s | %s | %s | %.0f %%, %.0f %% |%n",
                    100 * share,
                    perToken(play(device, share, rate, UNMERGED)),
                    perToken(play(device, share, rate, MERGED)),
                    perToken(dynamic),
                    perToken(ours),
                    100 * dynamic.mergedShare(),
                    100 * ours.mergedShare()));
        }
        page.append('\n');
    }

    private static String perToken(SimulationResult r) {
        return String.format(Locale.ROOT, "%.4f / %.4f", r.meanNormalisedLatency(), r.p90NormalisedLatency());
    }
}
