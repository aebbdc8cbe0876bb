package io.chorale.engine;

/**
 * What an engine turned out to be: its geometry and limits, constant for its life.
 *
 * @param backend {@code cpu}, {@code cuda} or {@code simulated}
 * @param device a sentence about the hardware
 * @param pageCount pages of the pool, shared by KV cache and adapters
 * @param pageTokens tokens of KV that one page holds
 * @param pageBytes bytes of one page over all layers, of all shards together
 * @param hidden width of a hidden state
 * @param vocab tokens of the vocabulary
 * @param contextMax positions of a sequence
 * @param slotsMax adapters resident at once
 * @param scratchMax sequences with penalties at once
 * @param rowsMax rows of a step
 * @param sequencesMax sequences of a step
 * @param samplesMax sampled rows of a step
 * @param layerGroups groups of layers in which an adapter may be loaded
 * @param elementBytes of a number of an adapter in memory
 */
public record EngineSpec(
        String backend,
        String device,
        int pageCount,
        int pageTokens,
        long pageBytes,
        int hidden,
        int vocab,
        int contextMax,
        int slotsMax,
        int scratchMax,
        int rowsMax,
        int sequencesMax,
        int samplesMax,
        int layerGroups,
        int elementBytes) {}
