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
import io.chorale.workload.RetryRule;
import io.chorale.workload.SLoraGenerator;
import io.chorale.workload.Workload;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;

/**
 * {@code ./chorale bench policies}: Chorale's policies against S-LoRA's and dLoRA's on the same workloads and the same device,
 * parts of them taken away, overload, and a tenant that floods. Writes docs/POLICIES.md.
 */
final class PolicyTables {
    private static final Path FILE = Path.of("docs", "POLICIES.md");
    private static final double SECONDS = 60;
    private static final double SATURATING_RATE = 60;
    private static final Objectives OBJECTIVES = new Objectives(6, 0.5);
    private static final List<String> PRESETS = List.of("chorale", "slora", "dlora");
    private static final int[] RANKS = {64, 32, 16, 8};
    private static final Batch BATCH = new Batch(512, 256, 64, 2, 1);

    private static final int[] OTHER_SEEDS = {7, 11};
    private static final double[] VARIATIONS = {1, 4, 8};
    private static final double[] ALPHAS = {0.1, 0.3, 1};
    private static final int[] ADAPTERS = {5, 200, 2000};
    private static final double[] LOADS = {0.7, 1, 1.3};

    private static final int MANY_SEEDS = 16;
    private static final List<String> ABLATIONS = List.of(
            "chorale",
            "chorale,clustering=none",
            "chorale,eviction=lru",
            "chorale,eviction=at-once",
            "chorale,prefetch=off",
            "chorale,merging=always-unmerged",
            "chorale,abort=never",
            "chorale,within=arrival",
            "chorale,within=adapters",
            "chorale,memory=peak-demand");

    private final StringBuilder page = new StringBuilder();

    void run() throws IOException {
        page.append("""
                # Policies compared

                Made by `./chorale bench policies`; do not edit. All on one simulated H100 with the Llama-3-8B shape (`h100-8b`, adapters of
                ranks 64, 32, 16 and 8 on all seven linears), with S-LoRA's generator (60 s, seed 42) and its objective of 6 s to the first
                token. Load is relative to the requests a second that plain first-come-first-served completes when far more come.

                """);
        presets();
        ablations();
        new OverloadTables(page).write();
        Files.writeString(FILE, page.toString());
        System.out.println("wrote " + FILE);
    }

    static SimulationResult play(String policy, Workload workload, Door door, RetryRule retry) {
        return play(DeviceProfiles.H100_8B, policy, workload, door, retry);
    }

    private static SimulationResult play(
            DeviceProfile device, String policy, Workload workload, Door door, RetryRule retry) {
        SimulationSettings settings = new SimulationSettings(
                device,
                PolicyText.parse(policy),
                policy,
                BATCH,
                door,
                1,
                Dispatcher.ROUND_ROBIN,
                retry,
                OBJECTIVES,
                SLoraGenerator.SEED);
        return new Simulation(settings, workload).run(Simulation.Progress.SILENT);
    }

    static Workload workload(int adapters, double alpha, double rate, double variation, double seconds) {
        return SLoraGenerator.of(adapters, alpha, rate, variation, seconds, RANKS)
                .draw();
    }

    /** Requests a second that first-come-first-served completes of far too many. */
    static double saturation(int adapters, double alpha) {
        Workload far = workload(adapters, alpha, SATURATING_RATE, 1, 30);
        return play("fcfs", far, Door.OPEN, RetryRule.NEVER).throughput();
    }

    // ---- presets --------------------------------------------------------------------------------------------------

    private void presets() {
        List<Case> cases = cases();
        List<SimulationResult[]> all = presets(cases, SLoraGenerator.SEED);
        page.append("## Chorale / S-LoRA / dLoRA\n\n");
        page.append("Against the better of the other two, in ")
                .append(cases.size())
                .append(" workloads, and in as many with each of two other seeds:\n\n");
        page.append(
                "| | better | equal (within 0.5 %) | worse by at most 2 % | worse by more |\n|---|---|---|---|---|\n");
        verdicts("", all);
        StringBuilder worse = new StringBuilder();
        Set<Case> worseCases = new LinkedHashSet<>();
        for (int seed : OTHER_SEEDS) {
            List<SimulationResult[]> others = presets(cases, seed);
            verdicts(", seed " + seed, others);
            for (int i = 0; i < cases.size(); i++) {
                String row = row(cases.get(i), others.get(i));
                if (isWorse(row)) {
                    worse.append("| ").append(seed).append(' ').append(row);
                    worseCases.add(cases.get(i));
                }
            }
        }
        String columns = "adapters | alpha | cv | load | goodput, req/s | satisfaction | throughput, req/s |\n";
        page.append("""

                A star marks where Chorale is more than 2 % worse. Of goodput and satisfaction that is, with the other seeds:

                | seed |\s""")
                .append(columns)
                .append("|---|---|---|---|---|---|---|---|\n")
                .append(worse)
                .append("""

                A minute of bursts is a few bursts: what the same workload gives with another seed differs by more than the policies do. Of
                these workloads the means over %d seeds:

                |\s""".formatted(MANY_SEEDS))
                .append(columns)
                .append("|---|---|---|---|---|---|---|\n");
        worseCases.forEach(each -> page.append(meanRow(each)));
        page.append("\nWith the first seed all are:\n\n| ").append(columns).append("|---|---|---|---|---|---|---|\n");
        for (int i = 0; i < cases.size(); i++) {
            page.append(row(cases.get(i), all.get(i)));
        }
        page.append('\n');
    }

    /** A workload of the table, by what it is drawn from. */
    private record Case(int adapters, double alpha, double variation, double load, double saturation) {
        Workload draw(int seed) {
            return SLoraGenerator.of(adapters, alpha, load * saturation, variation, SECONDS, RANKS)
                    .withSeed(seed)
                    .draw();
        }
    }

    private static List<Case> cases() {
        List<Case> cases = new ArrayList<>();
        for (int adapters : ADAPTERS) {
            for (double alpha : ALPHAS) {
                double saturation = saturation(adapters, alpha);
                for (double variation : VARIATIONS) {
                    for (double load : LOADS) {
                        cases.add(new Case(adapters, alpha, variation, load, saturation));
                    }
                }
            }
        }
        return cases;
    }

    /** All presets in all workloads of a seed. */
    private static List<SimulationResult[]> presets(List<Case> cases, int seed) {
        return cases.parallelStream().map(each -> presets(each.draw(seed))).toList();
    }

    private static String row(Case each, SimulationResult[] runs) {
        return row(each, of -> Arrays.stream(runs).mapToDouble(of).toArray());
    }

    private static String meanRow(Case each) {
        List<SimulationResult[]> runs = IntStream.rangeClosed(1, MANY_SEEDS)
                .parallel()
                .mapToObj(seed -> presets(each.draw(seed)))
                .toList();
        return row(
                each,
                of -> IntStream.range(0, PRESETS.size())
                        .mapToDouble(preset ->
                                mean(runs.stream().map(run -> run[preset]).toList(), of))
                        .toArray());
    }

    /** @param values of the presets in turn */
    private static String row(Case each, Function<ToDoubleFunction<SimulationResult>, double[]> values) {
        return String.format(
                Locale.ROOT,
                "| %d | %.1f | %.0f | %.1f (%.1f/s) | %s | %s | %s |%n",
                each.adapters,
                each.alpha,
                each.variation,
                each.load,
                each.load * each.saturation,
                triple(values.apply(SimulationResult::goodput), "%.2f"),
                triple(values.apply(SimulationResult::satisfaction), "%.3f"),
                triple(values.apply(SimulationResult::throughput), "%.2f"));
    }

    /** Whether a star is at the goodput or the satisfaction of a row. */
    private static boolean isWorse(String row) {
        String[] cells = row.split("\\|", -1);
        return cells[5].contains("*") || cells[6].contains("*");
    }

    private static SimulationResult[] presets(Workload workload) {
        return PRESETS.stream()
                .map(preset -> play(preset, workload, Door.OPEN, RetryRule.NEVER))
                .toArray(SimulationResult[]::new);
    }

    private void verdicts(String where, List<SimulationResult[]> all) {
        verdict("goodput" + where, all, SimulationResult::goodput);
        verdict("satisfaction" + where, all, SimulationResult::satisfaction);
    }

    private static String triple(double[] values, String format) {
        return String.format(
                Locale.ROOT,
                format + " / " + format + " / " + format + "%s",
                values[0],
                values[1],
                values[2],
                advantage(values) < -0.02 ? " *" : "");
    }

    private static double advantage(double[] values) {
        return values[0] / Math.max(values[1], values[2]) - 1;
    }

    private void verdict(String name, List<SimulationResult[]> all, ToDoubleFunction<SimulationResult> of) {
        int[] counts = new int[4];
        for (SimulationResult[] runs : all) {
            double advantage = advantage(Arrays.stream(runs).mapToDouble(of).toArray());
            counts[advantage > 0.005 ? 0 : advantage >= -0.005 ? 1 : advantage >= -0.02 ? 2 : 3]++;
        }
        page.append("| %s | %d | %d | %d | %d |%n".formatted(name, counts[0], counts[1], counts[2], counts[3]));
    }

    // ---- ablations ------------------------------------------------------------------------------------------------

    private void ablations() {
        page.append("## Parts taken away\n\n");
        for (int adapters : new int[] {200, 2000}) {
            double rate = 1.1 * saturation(adapters, 0.3);
            List<Workload> workloads = ablationWorkloads(adapters, rate);
            page.append("%d adapters, alpha 0.3, cv 4, load 1.1, means over %d seeds:%n%n"
                    .formatted(adapters, workloads.size()));
            page.append(
                    "| policy | goodput | satisfaction | throughput | TTFT p99, s | ITL p99, s | uploads | merged time |\n");
            page.append("|---|---|---|---|---|---|---|---|\n");
            for (String policy : ABLATIONS) {
                ablation(policy, workloads, DeviceProfiles.H100_8B, policy);
            }
            ablation("chorale, pool divided in halves", workloads, DeviceProfiles.H100_8B.divided(RANKS[0]), "chorale");
            page.append('\n');
        }
    }

    /** Beyond saturation single runs scatter by more than most parts are worth. */
    private static List<Workload> ablationWorkloads(int adapters, double rate) {
        return IntStream.rangeClosed(1, MANY_SEEDS)
                .mapToObj(seed -> SLoraGenerator.of(adapters, 0.3, rate, 4, SECONDS, RANKS)
                        .withSeed(seed)
                        .draw())
                .toList();
    }

    private void ablation(String name, List<Workload> workloads, DeviceProfile device, String policy) {
        List<SimulationResult> runs = workloads.parallelStream()
                .map(workload -> play(device, policy, workload, Door.OPEN, RetryRule.NEVER))
                .toList();
        page.append(String.format(
                Locale.ROOT,
                "| %s | %.2f | %.3f | %.2f | %.2f | %.3f | %,.0f | %.0f %% |%n",
                name,
                mean(runs, SimulationResult::goodput),
                mean(runs, SimulationResult::satisfaction),
                mean(runs, SimulationResult::throughput),
                mean(runs, r -> r.ttftQuantile(0.99)),
                mean(runs, r -> r.itlQuantile(0.99)),
                mean(runs, SimulationResult::uploads),
                100 * mean(runs, SimulationResult::mergedShare)));
    }

    private static double mean(List<SimulationResult> runs, ToDoubleFunction<SimulationResult> of) {
        return runs.stream().mapToDouble(of).average().orElseThrow();
    }
}
