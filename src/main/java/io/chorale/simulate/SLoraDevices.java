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
     * @param layerMillis of the host, which launches each layer of a step without adapters
     * @param layerAdapterMillis more of it with adapters: eight launches
     * @param contextNanosPerByte of keys and values that attention reads
     * @param flopsPerSecond of products of many rows
     * @param rereadNanosPerByte of adapter weights, which its kernels read again for each row, after the memory has been read
     *     once: shrinking as much as the row's rank, expanding as much as the largest one's, to which its lanes are padded
     * @param sequenceMillis of the host, for each sequence of a step
     * @param requestMillis until a request is in the queue of the router, which takes it in between steps: times are the
     *     client's
     */
    public record Constants(
            double layerMillis,
            double layerAdapterMillis,
            double contextNanosPerByte,
            double flopsPerSecond,
            double rereadNanosPerByte,
            double sequenceMillis,
            double requestMillis) {}

    /** Fitted to A100-80 S2 with n = 0 and n = 20, and S4 with R = 1. */
    public static final Constants FITTED = new Constants(1.0493, 0.31507, 9.2e-4, 240e12, 4.1137e-4, 0.07138, 88.73);

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

    /** A GPU of the paper: its memory's and its products' speed relative to an A100 80GB, by their data sheets. */
    public enum Gpu {
        A100_80(1, 1),
        A100_40(1555.0 / 2039, 1),
        A10G(600.0 / 2039, 70.0 / 312);

        private final double bandwidth;
        private final double compute;

        Gpu(double bandwidth, double compute) {
            this.bandwidth = bandwidth;
            this.compute = compute;
        }
    }

    private static final double A100_BYTES_PER_NANO = 1900;
    /** Its code copies each layer of an adapter twice, over PCIe 4 at 25 GB/s, and the batch waits for it. */
    private static final double UPLOAD_NANOS_PER_BYTE = 2 / 25.0;

    /** Of the host in each layer: shrinking and expanding for four projections; twice a copy, and its half put in place. */
    private static final int ADAPTER_LAUNCHES = 8;

    private static final int UPLOAD_LAUNCHES = 4;

    private static final int BATCH_TOKENS_MIN = 3072;
    private static final int SEQUENCES_MAX = 1000;
    private static final int PAGES_PER_RANK = 4;

    /** @param poolTokens of its memory pool, in tokens: its page is a token, and an adapter takes four for each rank */
    public static DeviceProfile profile(Constants fitted, Gpu gpu, Model model, int poolTokens) {
        double weightsNanos = 2 * model.parameters / A100_BYTES_PER_NANO / gpu.bandwidth;
        double rowNanos = 2 * model.parameters / (fitted.flopsPerSecond * gpu.compute) * 1e9;
        int ridge = (int) Math.ceil(weightsNanos / rowNanos);
        double memory = 1 / gpu.bandwidth;
        double shrinkOrExpand = fitted.rereadNanosPerByte / 2 * model.rankBytes() * memory;
        DeviceCosts costs = new DeviceCosts(
                fitted.layerMillis * model.layers * 1e6,
                fitted.layerAdapterMillis * model.layers * 1e6,
                new int[] {1, ridge, 100 * ridge},
                new double[] {weightsNanos, weightsNanos, 100 * ridge * rowNanos},
                fitted.contextNanosPerByte * model.tokenBytes() * memory,
                0,
                0,
                0,
                model.rankBytes() / A100_BYTES_PER_NANO / gpu.bandwidth,
                shrinkOrExpand,
                shrinkOrExpand,
                fitted.sequenceMillis * 1e6,
                UPLOAD_LAUNCHES * fitted.layerAdapterMillis / ADAPTER_LAUNCHES * model.layers * 1e6,
                UPLOAD_NANOS_PER_BYTE * model.rankBytes(),
                fitted.requestMillis * 1e6,
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
}
