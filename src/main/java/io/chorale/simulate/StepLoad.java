package io.chorale.simulate;

/** What the duration of one step depends on, counted from its plan. Mutable and reused. */
final class StepLoad {
    int rows;
    int sequences;
    int sequencesWithAdapter;
    /** Tokens that attention reads, summed over the sequences. */
    long contextTokens;
    /** Of prompts computed in pieces: pairs of a row and a token that it attends to. */
    double pairs;
    /** Distinct adapters added to rows, their ranks, and ranks summed over rows. */
    int adapters;

    long adapterRanks;
    long rowRanks;
    /** Rows with an adapter times the largest rank among them. Where a kernel reads once for a tile of rows, tiles count in both. */
    long rowLargestRanks;
    /** Adapters that are uploaded, and their ranks. */
    int uploads;

    long uploadRanks;
    /** Shadow weights that are made. */
    int merges;

    void clear() {
        rows = 0;
        sequences = 0;
        sequencesWithAdapter = 0;
        contextTokens = 0;
        pairs = 0;
        adapters = 0;
        adapterRanks = 0;
        rowRanks = 0;
        rowLargestRanks = 0;
        uploads = 0;
        uploadRanks = 0;
        merges = 0;
    }
}
