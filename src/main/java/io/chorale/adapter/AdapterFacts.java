package io.chorale.adapter;

import java.util.List;

/**
 * What an adapter's configuration and header say of it.
 *
 * @param rank the largest rank of its targets
 * @param targets the linears it changes, such as {@code q_proj}
 * @param weightBytes bytes of its tensors in the files
 * @param base the base model that its configuration names; empty where it names none
 * @param invocation of an activated LoRA the tokens from which on it acts; empty where it acts on every token
 */
public record AdapterFacts(int rank, List<String> targets, long weightBytes, String base, List<Integer> invocation) {
    /** Of an adapter whose files cannot be read. */
    static final AdapterFacts UNKNOWN = new AdapterFacts(0, List.of(), 0, "");

    /** Of one that acts on every token. */
    public AdapterFacts(int rank, List<String> targets, long weightBytes, String base) {
        this(rank, targets, weightBytes, base, List.of());
    }
}
