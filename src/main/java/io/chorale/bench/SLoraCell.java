package io.chorale.bench;

import io.chorale.simulate.Dispatcher;
import io.chorale.simulate.PolicyText;
import io.chorale.simulate.SLoraDevices;
import io.chorale.simulate.SLoraDevices.Gpu;
import io.chorale.simulate.SLoraDevices.Model;
import io.chorale.simulate.Simulation;
import io.chorale.simulate.SimulationResult;
import io.chorale.simulate.SimulationSettings;
import io.chorale.simulate.SimulationSettings.Batch;
import io.chorale.simulate.SimulationSettings.Door;
import io.chorale.simulate.SimulationSettings.Objectives;
import io.chorale.workload.RetryRule;
import io.chorale.workload.SLoraGenerator;

/**
 * One run of S-LoRA's paper, and how it is simulated: its workload, its policy, its batches of whole prompts with ten steps of
 * decoding between them, on its engine's costs.
 */
record SLoraCell(
        String table,
        Gpu gpu,
        Setting setting,
        int pool,
        int adapters,
        double alpha,
        double rate,
        double variation,
        double seconds,
        String policy,
        String column,
        Figures paper) {

    private static final double TTFT_OBJECTIVE = 6;
    /** Its prompts are so many times "Hello ", of which Llama's tokenizer makes one token each, a first one and the last blank. */
    private static final int AROUND_PROMPT = 2;

    /** Whole prompts, any number of adapters; whoever does not fit is waited for. */
    private static final Batch BATCH = new Batch(1 << 20, 1000, 0, 0, 0);
    /** Where those whose adapter is in the batch pass others, without a bound. */
    private static final Batch PASSING_BATCH = new Batch(1 << 20, 1000, 1 << 20, 0, 0);

    /** The figures of a cell; throughput in requests a second, times in seconds. */
    record Figures(double throughput, double latency, double ttft, double attainment, double satisfaction) {
        static Figures of(double throughput, double latency, double ttft, double attainment) {
            return new Figures(throughput, latency, ttft, attainment, Double.NaN);
        }

        static Figures of(SimulationResult r) {
            return new Figures(r.throughput(), r.meanLatencySeconds(), r.ttftMean(), r.attainment(), r.satisfaction());
        }
    }

    /** Which base model and ranks. */
    enum Setting {
        S1(Model.LLAMA_7B),
        S2(Model.LLAMA_7B),
        S4(Model.LLAMA_13B);

        private final Model model;

        Setting(Model model) {
            this.model = model;
        }

        int[] ranks() {
            return switch (this) {
                case S1 -> new int[] {8};
                case S2 -> new int[] {64, 32, 16, 8};
                case S4 -> new int[] {64, 32, 16};
            };
        }
    }

    SimulationResult simulate(SLoraDevices.Constants constants) {
        return simulate(constants, 1);
    }

    /** With all costs so many times as high. */
    SimulationResult simulate(SLoraDevices.Constants constants, double factor) {
        SimulationSettings settings = new SimulationSettings(
                SLoraDevices.profile(constants, gpu, setting.model, pool).slower(factor),
                PolicyText.parse(policy),
                policy,
                policy.contains("clustering=") ? PASSING_BATCH : BATCH,
                Door.OPEN,
                1,
                Dispatcher.ROUND_ROBIN,
                RetryRule.NEVER,
                new Objectives(TTFT_OBJECTIVE, 1e6),
                0);
        SLoraGenerator workload = SLoraGenerator.of(adapters, alpha, rate, variation, seconds, setting.ranks());
        return new Simulation(settings, workload.draw().withLongerPrompts(AROUND_PROMPT))
                .run(Simulation.Progress.SILENT);
    }
}
