package io.chorale.adapter;

/**
 * The sizes of a decoder model, as its configuration says.
 *
 * @param family the architecture's name, such as {@code LlamaForCausalLM}
 * @param heads query heads
 * @param kvHeads heads of keys and values; divides {@code heads}
 * @param contextMax positions the model was made for
 */
public record ModelShape(
        String family,
        int layers,
        int hidden,
        int intermediate,
        int heads,
        int kvHeads,
        int headDim,
        int vocab,
        int contextMax) {}
