package io.chorale.workload;

/**
 * S-LoRA's synthetic workload, literally: the same seed gives the same requests as {@code benchmarks/trace.py} of its
 * repository. What its description leaves out, kept as it is:
 *
 * <ul>
 *   <li>{@code alpha = 1} is uniform; smaller ones concentrate on the first adapters (the first one's share is n^-alpha).
 *   <li>All adapters share one Gamma renewal process; the paper speaks of one each.
 *   <li>{@code rate * seconds} requests are drawn, so the last one comes at about, not at, the end: with seed 42, 10 a
 *       second and 120 s it is 125.0 s, and no server can complete more than 9.60 a second of that run.
 *   <li>Lengths are uniform, with the upper end left out.
 * </ul>
 *
 * @param adapters 0: every request is for the base model
 * @param variation coefficient of variation of the gaps: 1 is Poisson, more is burstier
 * @param ranks dealt to the adapters in turn
 */
public record SLoraGenerator(
        int adapters,
        double alpha,
        double rate,
        double variation,
        double seconds,
        int promptMin,
        int promptEnd,
        int answerMin,
        int answerEnd,
        int seed,
        int[] ranks) {

    public static final int SEED = 42;
    private static final int LENGTH_MIN = 8;
    private static final int LENGTH_END = 512;

    public SLoraGenerator {
        require(adapters >= 0, "adapters must not be negative");
        require(alpha > 0, "alpha must be positive; 1 is uniform, 0.1 very skewed");
        require(rate > 0, "rate must be positive");
        require(variation > 0, "cv must be positive; 1 is Poisson");
        require(seconds > 0, "duration must be positive");
        require(rate * seconds <= Integer.MAX_VALUE, "rate times duration is more requests than can be held");
        require(promptMin >= 1 && promptEnd > promptMin, "prompt lengths must be a range from 1 on");
        require(answerMin >= 1 && answerEnd > answerMin, "answer lengths must be a range from 1 on");
        require(ranks.length > 0, "at least one rank is needed");
        for (int rank : ranks) {
            require(rank >= 1, "ranks must be positive");
        }
    }

    private static void require(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException(otherwise);
        }
    }

    /** With the lengths of the paper's synthetic runs, 8 to 511 tokens both ways, and its seed. */
    public static SLoraGenerator of(
            int adapters, double alpha, double rate, double variation, double seconds, int... ranks) {
        return new SLoraGenerator(
                adapters, alpha, rate, variation, seconds, LENGTH_MIN, LENGTH_END, LENGTH_MIN, LENGTH_END, SEED, ranks);
    }

    public SLoraGenerator withSeed(int other) {
        return new SLoraGenerator(
                adapters, alpha, rate, variation, seconds, promptMin, promptEnd, answerMin, answerEnd, other, ranks);
    }

    public Workload draw() {
        NumpyRandom random = new NumpyRandom(seed);
        int requests = (int) (rate * seconds);
        // Whole columns one after the other: the order of the draws is part of the seed's meaning.
        int[] adapter = new int[requests];
        for (int i = 0; i < requests; i++) {
            int drawn = (int) (random.power(alpha) * adapters);
            adapter[i] = adapters == 0 ? Workload.BASE : Math.min(drawn, adapters - 1);
        }
        int[] prompt = new int[requests];
        for (int i = 0; i < requests; i++) {
            prompt[i] = random.between(promptMin, promptEnd);
        }
        int[] answer = new int[requests];
        for (int i = 0; i < requests; i++) {
            answer[i] = random.between(answerMin, answerEnd);
        }
        Workload.Columns columns = new Workload.Columns(requests);
        ArrivalProcess arrivals = new ArrivalProcess(rate, variation);
        double time = 0;
        for (int i = 0; i < requests; i++) {
            time += arrivals.nextGapSeconds(random);
            columns.add((long) (time * 1e9), 0, adapter[i], prompt[i], answer[i]);
        }
        String name = "S-LoRA generator, %d adapters, alpha %s, %s requests/s, cv %s, %s s, seed %d"
                .formatted(adapters, plain(alpha), plain(rate), plain(variation), plain(seconds), seed);
        return columns.toWorkload(name, adapters, ranks);
    }

    static String plain(double value) {
        return value == Math.rint(value) && Math.abs(value) < 1e9
                ? Long.toString((long) value)
                : Double.toString(value);
    }
}
