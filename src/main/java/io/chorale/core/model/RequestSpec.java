package io.chorale.core.model;

/**
 * One sequence to generate. A client's request for {@code n} answers becomes n of these.
 *
 * @param id unique while the server runs
 * @param tenant dense index of who pays; 0 is the default tenant
 * @param adapters what is added to the base model
 * @param promptTokens at least one; never changed after construction
 * @param ttftNanosMax objective on the time to first token; 0: none, never aborted early
 * @param cacheSalt separates cached prefixes of tenants; 0: shared
 * @param arrivalNanos when it came to the door, on the clock of the serving loop
 * @param priority its class
 * @param activeFrom the first token of the prompt that the adapters act on; 0: all of them
 */
public record RequestSpec(
        long id,
        int tenant,
        AdapterSet adapters,
        int[] promptTokens,
        SamplingParams sampling,
        long ttftNanosMax,
        long cacheSalt,
        long arrivalNanos,
        Priority priority,
        int activeFrom) {

    /** A request of normal priority. */
    public RequestSpec(
            long id,
            int tenant,
            AdapterSet adapters,
            int[] promptTokens,
            SamplingParams sampling,
            long ttftNanosMax,
            long cacheSalt,
            long arrivalNanos) {
        this(id, tenant, adapters, promptTokens, sampling, ttftNanosMax, cacheSalt, arrivalNanos, Priority.NORMAL, 0);
    }

    public RequestSpec {
        Check.argument(promptTokens.length > 0, () -> "the prompt is empty");
        Check.argument(tenant >= 0, () -> "tenant must not be negative");
        Check.argument(
                activeFrom >= 0 && activeFrom < promptTokens.length,
                () -> "the adapters do not act on the last token of the prompt");
        Check.argument(ttftNanosMax >= 0, () -> "ttft objective must not be negative");
    }

    /** Tokens of prompt and answer together at most. */
    public int tokensMax() {
        return Math.addExact(promptTokens.length, sampling.tokensMax());
    }
}
