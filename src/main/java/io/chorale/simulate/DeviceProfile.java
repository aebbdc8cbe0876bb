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

    /** One on which everything takes so many times as long. */
    public DeviceProfile slower(double factor) {
        return new DeviceProfile(
                name,
                costs.times(factor),
                pages,
                pageTokens,
                pagesPerRank,
                slots,
                contextMax,
                stepTokensMax,
                sequencesMax,
                source);
    }

    /**
     * One whose pool is divided once and for all: half for keys and values, half for adapters in places for the largest rank,
     * as S-LoRA's ablation without unified memory has it. An adapter then takes a page of the first half for its place's sake.
     */
    public DeviceProfile divided(int rankMax) {
        int half = pages / 2;
        return new DeviceProfile(
                name,
                costs,
                half,
                pageTokens,
                1.0 / rankMax,
                Math.min(slots, half / adapterPages(rankMax)),
                contextMax,
                stepTokensMax,
                sequencesMax,
                source);
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
