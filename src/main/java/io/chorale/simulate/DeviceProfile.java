package io.chorale.simulate;

/**
 * A GPU with a base model on it: what it costs and what it holds.
 *
 * @param pages of the pool, for KV cache and adapters
 * @param pageTokens tokens of KV that a page holds
 * @param pagesPerRank pages that an adapter takes for each of its ranks
 * @param slots adapters resident at once
 * @param stepTokensMax rows of one step at most
 * @param sequencesMax sequences that run at once
 * @param source where the figures come from
 */
public record DeviceProfile(
        String name,
        DeviceCosts costs,
        int pages,
        int pageTokens,
        double pagesPerRank,
        int slots,
        int contextMax,
        int stepTokensMax,
        int sequencesMax,
        String source) {

    public int adapterPages(int rank) {
        return (int) Math.max(1, Math.ceil(rank * pagesPerRank - 1e-9));
    }

    public DeviceProfile named(String other) {
        return new DeviceProfile(
                other, costs, pages, pageTokens, pagesPerRank, slots, contextMax, stepTokensMax, sequencesMax, source);
    }

    public DeviceProfile withPages(int other) {
        return new DeviceProfile(
                name, costs, other, pageTokens, pagesPerRank, slots, contextMax, stepTokensMax, sequencesMax, source);
    }

    public DeviceProfile withSequencesMax(int other) {
        return new DeviceProfile(
                name, costs, pages, pageTokens, pagesPerRank, slots, contextMax, stepTokensMax, other, source);
    }
}
