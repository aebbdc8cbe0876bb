package io.chorale.core.policy;

/** What the duration of a step depends on. Mutable, so that asking a cost model allocates nothing. */
public final class StepShape {
    /** Tokens computed. */
    public int rows;
    /** Tokens that attention reads, summed over the sequences. */
    public long contextTokens;
    /** Distinct adapters that are added to rows. */
    public int adapters;
    /** Pages of those adapters: what is read of them grows with their ranks. */
    public int adapterPages;
    /** Rows to which an adapter is added. */
    public int adapterRows;
    /** Pages of adapters that are uploaded. */
    public int loadPages;
    /** Pages of the adapter that is merged into the shadow weights by this step; 0: none is. */
    public int mergePages;

    public StepShape clear() {
        rows = 0;
        contextTokens = 0;
        adapters = 0;
        adapterPages = 0;
        adapterRows = 0;
        loadPages = 0;
        mergePages = 0;
        return this;
    }

    /** So many rows over so many tokens of context, and nothing else. */
    public StepShape rows(int count, long context) {
        rows = count;
        contextTokens = context;
        return this;
    }
}
