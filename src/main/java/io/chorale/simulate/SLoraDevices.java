package io.chorale.simulate;

/**
 * S-LoRA's own engine on the GPUs of its paper, as a table of costs: what its kernels and its host take, from constants fitted
 * to three cells of its results and scaled by the shape of the model and the data sheet of the GPU. For reproducing the
 * paper: Chorale's engine has other costs.
 */
public final class SLoraDevices {
    private SLoraDevices() {}

    /**
     * What was fitted (docs/PAPERS.md says how and to what).
     *
     * @param launchMicros of each of the host's launches
     * @param contextNanosPerByte of keys and values that attention reads: its instructions', unless memory takes longer
     * @param flopsPerSecond of products of many rows
     * @param rereadNanosPerByte of adapter weights, which its kernels read again for each row, after the memory has been read
     *     once: shrinking as much as the row's rank, expanding as much as the largest one's, to which its lanes are padded
     * @param sequenceMillis of the host, for each sequence of a step; one with an adapter takes a launch besides
     * @param requestMillis until a request is in the queue of the router, which takes it in between steps: times are the
     *     client's
     */
    public record Constants(
            double launchMicros,
            double contextNanosPerByte,
            double flopsPerSecond,
            double rereadNanosPerByte,
            double sequenceMillis,
            double requestMillis) {}

    /** Fitted to A100-80 S2 with n = 0 and n = 20, and S4 with R = 1. */
    public static final Constants FITTED = new Constants(46.628, 8.954e-4, 249.93e12, 4.8529e-4, 0.050127, 102.44);

    /** A base model of the paper. */
    public enum Model {
        LLAMA_7B(32, 4096, 6.7e9),
        LLAMA_13B(40, 5120, 13.0e9);

        private final int layers;
        private final int hidden;
        private final double parameters;

        Model(int layers, int hidden, double parameters) {
            this.layers = layers;
            this.hidden = hidden;
            this.parameters = parameters;
        }

        /** Keys and values of one token, in half precision. */
        double tokenBytes() {
            return 2.0 * 2 * layers * hidden;
        }

        /** Weights of the four projections, read and written once. */
        double mergeBytes() {
            return 2.0 * 2 * 4 * layers * hidden * hidden;
        }

        /** A and B of the query, key, value and output projections, for each rank. */
        double rankBytes() {
            return 2.0 * 8 * layers * hidden;
        }
    }

    /**
     * A GPU of the paper relative to an A100 80GB, by their data sheets: the speed of its memory, of its products, and of other
     * instructions, which is multiprocessors times clock.
     */
    public enum Gpu {
        A100_80(1, 1, 1),
        A100_40(1555.0 / 2039, 1, 1),
        A10G(600.0 / 2039, 70.0 / 312, 72 * 1.71 / (108 * 1.41));

        private final double bandwidth;
        private final double compute;
        private final double issue;

        Gpu(double bandwidth, double compute, double issue) {
            this.bandwidth = bandwidth;
            this.compute = compute;
            this.issue = issue;
        }
    }

    private static final double A100_BYTES_PER_NANO = 1900;
    /** Its code copies each layer of an adapter twice, over PCIe 4 at 25 GB/s, and the batch waits for it. */
    private static final double UPLOAD_NANOS_PER_BYTE = 2 / 25.0;

    /**
     * Of the host, counted in its code. In each layer: seven products, what lies between them, and two copies for tokens that
     * do not lie side by side; with adapters shrinking and expanding for four projections; for each adapter uploaded twice a
     * copy, and its half put in place.
     */
    private static final int LAYER_LAUNCHES = 19;

    private static final int ADAPTER_LAUNCHES = 8;
    private static final int UPLOAD_LAUNCHES = 4;
    /** Before and after the layers, with results asked for in between: places for tokens, embedding, penalties, sampling. */
    private static final int STEP_LAUNCHES = 60;

    /** Its Triton kernels for prompts, and when they are used: for others, the ones that read for each row are. */
    private static final PromptTiles PROMPT_TILES = new PromptTiles(32, 200, 64, 2);

    /**
     * What the products of so many rows took on one H100, with {@code MEASURED_WEIGHTS_MILLIS} for reading the weights
     * (docs/KERNELS.md): between the limits of memory and of products real ones reach neither.
     */
    private static final int[] MEASURED_ROWS = {32, 128, 512, 2048};

    private static final double[] MEASURED_MILLIS = {5.82, 8.11, 13.2, 49.4};
    private static final double MEASURED_WEIGHTS_MILLIS = 5.59;

    private static final int BATCH_TOKENS_MIN = 3072;
    private static final int SEQUENCES_MAX = 1000;
    private static final int PAGES_PER_RANK = 4;

    /** @param poolTokens of its memory pool, in tokens: its page is a token, and an adapter takes four for each rank */
    public static DeviceProfile profile(Constants fitted, Gpu gpu, Model model, int poolTokens) {
        double weightsNanos = 2 * model.parameters / A100_BYTES_PER_NANO / gpu.bandwidth;
        double rowNanos = 2 * model.parameters / (fitted.flopsPerSecond * gpu.compute) * 1e9;
        double contextNanosPerByte =
                Math.max(fitted.contextNanosPerByte / gpu.issue, 1 / A100_BYTES_PER_NANO / gpu.bandwidth);
        double shrinkOrExpand = fitted.rereadNanosPerByte / 2 * model.rankBytes() / gpu.bandwidth;
        double launchNanos = fitted.launchMicros * 1e3;
        DeviceCosts costs = new DeviceCosts(
                LAYER_LAUNCHES * launchNanos * model.layers,
                ADAPTER_LAUNCHES * launchNanos * model.layers,
                productRows(weightsNanos / rowNanos),
                productNanos(weightsNanos),
                contextNanosPerByte * model.tokenBytes(),
                0,
                0,
                0,
                model.rankBytes() / A100_BYTES_PER_NANO / gpu.bandwidth,
                shrinkOrExpand,
                shrinkOrExpand,
                PROMPT_TILES,
                UPLOAD_NANOS_PER_BYTE * model.rankBytes(),
                new HostCosts(
                        STEP_LAUNCHES * launchNanos,
                        fitted.sequenceMillis * 1e6,
                        launchNanos,
                        UPLOAD_LAUNCHES * launchNanos * model.layers,
                        fitted.requestMillis * 1e6),
                model.mergeBytes() / A100_BYTES_PER_NANO / gpu.bandwidth);
        return new DeviceProfile(
                "S-LoRA " + gpu + " " + model,
                costs,
                poolTokens,
                1,
                PAGES_PER_RANK,
                SEQUENCES_MAX,
                2048,
                Math.max(poolTokens / 6, BATCH_TOKENS_MIN),
                SEQUENCES_MAX,
                "docs/PAPERS.md");
    }

    /** @param ridge rows for which computing takes as long as reading the weights */
    private static int[] productRows(double ridge) {
        int last = MEASURED_ROWS.length - 1;
        double measuredRidge = MEASURED_ROWS[last] * MEASURED_WEIGHTS_MILLIS / MEASURED_MILLIS[last];
        int[] rows = new int[1 + MEASURED_ROWS.length];
        rows[0] = 1;
        for (int i = 0; i <= last; i++) {
            rows[i + 1] = (int) Math.max(rows[i] + 1, Math.round(ridge * MEASURED_ROWS[i] / measuredRidge));
        }
        return rows;
    }

    private static double[] productNanos(double weightsNanos) {
        double[] nanos = new double[1 + MEASURED_MILLIS.length];
        nanos[0] = weightsNanos;
        for (int i = 0; i < MEASURED_MILLIS.length; i++) {
            nanos[i + 1] = weightsNanos * MEASURED_MILLIS[i] / MEASURED_WEIGHTS_MILLIS;
        }
        return nanos;
    }
}
