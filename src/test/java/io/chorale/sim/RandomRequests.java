package io.chorale.sim;

import io.chorale.core.model.AdapterSet;
import io.chorale.core.model.RequestSpec;
import io.chorale.core.model.SamplingParams;
import io.chorale.workload.ArrivalProcess;
import io.chorale.workload.NumpyRandom;
import io.chorale.workload.PowerLaw;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/**
 * Requests of all kinds drawn from distributions; the same seed gives the same requests.
 *
 * @param cancelShare of the requests are cancelled some time after they came
 */
record RandomRequests(
        int requests,
        ArrivalProcess arrivals,
        int adapters,
        double popularityExponent,
        int promptMax,
        int answerMax,
        double baseShare,
        double composedShare,
        double penaltyShare,
        double cancelShare,
        long ttftNanosMax,
        int vocab,
        int stopToken) {

    /** A request, and when its client goes away ({@code Long.MAX_VALUE}: never). */
    record Arrival(RequestSpec spec, long cancelNanos) {}

    List<Arrival> draw(long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        NumpyRandom published = new NumpyRandom((int) seed);
        PowerLaw popularity = new PowerLaw(adapters, popularityExponent);
        List<Arrival> drawn = new ArrayList<>();
        long now = 0;
        for (int i = 0; i < requests; i++) {
            now += (long) (1e9 * arrivals.nextGapSeconds(published));
            int[] prompt = new int[1 + random.nextInt(promptMax)];
            for (int t = 0; t < prompt.length; t++) {
                prompt[t] = random.nextInt(vocab);
            }
            long patience = (long) (-Math.log(random.nextDouble()) * 2e9);
            long cancel = random.nextDouble() < cancelShare ? now + patience : Long.MAX_VALUE;
            RequestSpec spec = new RequestSpec(
                    i,
                    random.nextInt(3),
                    adapterSet(popularity, published, random),
                    prompt,
                    sampling(random),
                    ttftNanosMax,
                    0,
                    now);
            drawn.add(new Arrival(spec, cancel));
        }
        return drawn;
    }

    private AdapterSet adapterSet(PowerLaw popularity, NumpyRandom published, SplittableRandom random) {
        if (random.nextDouble() < baseShare) {
            return AdapterSet.BASE;
        }
        int first = 1 + popularity.draw(published);
        int second = 1 + popularity.draw(published);
        if (random.nextDouble() >= composedShare || first == second) {
            return AdapterSet.of(first);
        }
        return new AdapterSet(new int[] {Math.min(first, second), Math.max(first, second)}, new float[] {0.5f, 0.5f});
    }

    private SamplingParams sampling(SplittableRandom random) {
        int tokensMax = 1 + random.nextInt(answerMax);
        int tokensMin = random.nextInt(8) == 0 ? random.nextInt(tokensMax + 1) : 0;
        boolean penalties = random.nextDouble() < penaltyShare;
        return new SamplingParams(
                1,
                0,
                1,
                0,
                penalties ? 1.1f : 1,
                0,
                0,
                random.nextLong(),
                tokensMax,
                tokensMin,
                new int[] {stopToken},
                random.nextInt(4) == 0 ? 2 : -1,
                new int[0],
                new float[0]);
    }
}
