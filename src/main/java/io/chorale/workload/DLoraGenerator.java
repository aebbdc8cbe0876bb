package io.chorale.workload;

/**
 * A stand-in for dLoRA's workload, whose Azure Functions and ShareGPT files are not redistributed: per hour each adapter
 * gets a share of the requests by a power law, whose exponent is chosen so that the most popular one has {@code
 * topShare}, and who that is changes from hour to hour; arrivals are Poisson; lengths are log-normal with ShareGPT's
 * means (360 and 224 tokens before they are clipped to 4 to 1,024, and 2,048 in all).
 *
 * @param topShare from 1/adapters (uniform) to below 1
 */
public record DLoraGenerator(int adapters, double topShare, double rate, double seconds, int seed, int[] ranks) {
    private static final double HOUR_SECONDS = 3600;
    private static final double PROMPT_MEAN = 360;
    private static final double ANSWER_MEAN = 224;
    private static final double SIGMA = 1;
    private static final int LENGTH_MIN = 4;
    private static final int LENGTH_MAX = 1024;

    public DLoraGenerator {
        if (adapters < 1 || ranks.length == 0) {
            throw new IllegalArgumentException("at least one adapter and one rank are needed");
        }
        if (!(topShare >= 1.0 / adapters - 1e-9 && topShare < 1) && adapters > 1) {
            throw new IllegalArgumentException(
                    "top share must be from 1/adapters (uniform) to below 1, not " + topShare);
        }
        if (!(rate > 0 && seconds > 0 && rate * seconds <= Integer.MAX_VALUE)) {
            throw new IllegalArgumentException("rate and duration must be positive, and their product an int");
        }
    }

    public Workload draw() {
        NumpyRandom random = new NumpyRandom(seed);
        PowerLaw popularity = PowerLaw.withTopShare(adapters, topShare);
        ArrivalProcess arrivals = new ArrivalProcess(rate, 1);
        int requests = (int) (rate * seconds);
        Workload.Columns columns = new Workload.Columns(requests);
        int[] order = new int[adapters];
        double hourEnd = 0;
        double time = 0;
        for (int i = 0; i < requests; i++) {
            // Independent Poisson arrivals of each adapter are one Poisson process whose requests draw their adapter.
            time += arrivals.nextGapSeconds(random);
            while (time >= hourEnd) {
                shuffle(order, random);
                hourEnd += HOUR_SECONDS;
            }
            int adapter = order[popularity.draw(random)];
            int prompt = length(PROMPT_MEAN, random);
            columns.add((long) (time * 1e9), 0, adapter, prompt, length(ANSWER_MEAN, random));
        }
        String name = "dLoRA stand-in, %d adapters, top share %s, %s requests/s, %s s, seed %d"
                .formatted(
                        adapters,
                        SLoraGenerator.plain(topShare),
                        SLoraGenerator.plain(rate),
                        SLoraGenerator.plain(seconds),
                        seed);
        return columns.toWorkload(name, adapters, ranks);
    }

    private static void shuffle(int[] order, NumpyRandom random) {
        for (int i = 0; i < order.length; i++) {
            int j = random.between(0, i + 1);
            order[i] = order[j];
            order[j] = i;
        }
    }

    private static int length(double mean, NumpyRandom random) {
        double drawn = Math.exp(Math.log(mean) - SIGMA * SIGMA / 2 + SIGMA * random.gaussian());
        return Math.clamp(Math.round(drawn), LENGTH_MIN, LENGTH_MAX);
    }
}
