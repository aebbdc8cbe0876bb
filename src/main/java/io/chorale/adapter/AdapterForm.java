package io.chorale.adapter;

import java.util.Locale;

/** What an adapter may do beside adding B and A of the layers' linears. Not every engine computes all of it. */
public enum AdapterForm {
    /** Weights by magnitude and direction, with norms that depend on the whole weight: adding two of them means nothing. */
    DORA(false),
    /** LoRA of the LM head. */
    LM_HEAD(true),
    /** LoRA of the embedding. */
    EMBED_TOKENS(true),
    /** An LM head of its own, instead of the base model's. */
    OWN_HEAD(false);

    private final boolean adds;

    AdapterForm(boolean adds) {
        this.adds = adds;
    }

    /** Whether what it does can be scaled, and added to what other adapters do. */
    public boolean adds() {
        return adds;
    }

    /** Its name in answers. */
    public String label() {
        return name().toLowerCase(Locale.ROOT);
    }
}
