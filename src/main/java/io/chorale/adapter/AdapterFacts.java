package io.chorale.adapter;

import java.util.List;
import java.util.Optional;

/**
 * What an adapter's configuration and header say of it.
 *
 * @param rank the largest rank of its targets
 * @param targets the linears it changes, such as {@code q_proj}
 * @param weightBytes bytes of its tensors in the files
 * @param base the base model that its configuration names; empty where it names none
 * @param invocation of an activated LoRA the tokens from which on it acts; empty where it acts on every token
 * @param forms what it does beside adding B and A of the layers' linears, in the order of {@link AdapterForm}
 * @param warnings what speaks against it and does not keep it from being served, one sentence each
 */
public record AdapterFacts(
        int rank,
        List<String> targets,
        long weightBytes,
        String base,
        List<Integer> invocation,
        List<AdapterForm> forms,
        List<String> warnings) {
    /** Of an adapter whose files cannot be read. */
    static final AdapterFacts UNKNOWN = new AdapterFacts(0, List.of(), 0, "");

    /** Of one that adds B and A of linears alone, on every token. */
    public AdapterFacts(int rank, List<String> targets, long weightBytes, String base) {
        this(rank, targets, weightBytes, base, List.of(), List.of(), List.of());
    }

    /** What keeps it from being scaled and added to others; empty where nothing does. */
    public Optional<AdapterForm> standsAlone() {
        return forms.stream().filter(form -> !form.adds()).findFirst();
    }
}
