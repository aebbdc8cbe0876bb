package io.chorale.engine.sim;

/**
 * A language model made of a hash: the state after a token is a hash of all tokens before it and of the adapters that each
 * was computed with, and the token drawn is a hash of state, seed and position. So an answer depends on nothing but its own request, however
 * it is batched, preempted or merged, and a single token fed wrongly changes everything after it.
 *
 * @param stopToken drawn with {@code stopProbability} at each position
 */
public record SimulatedModel(long seed, int vocab, int stopToken, double stopProbability) {
    private static final int DRAWS_MAX = 64;
    private static final float FORBIDDEN = -100;
    private static final float FORCED = 100;
    private static final int SCALE_STEPS = 4096;

    /** What an adapter with a factor contributes; contributions add up, and cancel. */
    public static long contribution(String adapterName, float scale) {
        long identity = 0;
        for (int i = 0; i < adapterName.length(); i++) {
            identity = mix(identity, adapterName.charAt(i));
        }
        return mix(identity, 17) * Math.round(scale * SCALE_STEPS);
    }

    /** The state before the first token. */
    public static long begin() {
        return 0x5eed;
    }

    /** The state after a token that was computed with what these adapters contribute. */
    public static long next(long state, int token, long contributions) {
        return mix(mix(state, token), contributions);
    }

    /** The token drawn after a state, with the biases of the entries {@code [from, to)}. */
    public int draw(long state, long requestSeed, int position, int[] biasIds, float[] biasValues, int from, int to) {
        long bits = mix(mix(mix(state, requestSeed), position), seed);
        for (int i = from; i < to; i++) {
            if (biasValues[i] >= FORCED) {
                return biasIds[i];
            }
        }
        boolean stops = (bits >>> 11) * 0x1p-53 < stopProbability;
        if (stops && allowed(stopToken, biasIds, biasValues, from, to)) {
            return stopToken;
        }
        int token = 0;
        for (int i = 0; i < DRAWS_MAX; i++) {
            bits = mix(bits, i);
            token = (int) Long.remainderUnsigned(bits, vocab);
            if (token != stopToken && allowed(token, biasIds, biasValues, from, to)) {
                break;
            }
        }
        return token;
    }

    private static boolean allowed(int token, int[] biasIds, float[] biasValues, int from, int to) {
        for (int i = from; i < to; i++) {
            if (biasIds[i] == token && biasValues[i] <= FORBIDDEN) {
                return false;
            }
        }
        return true;
    }

    /** The finaliser of SplitMix64 over a weighted sum. */
    static long mix(long a, long b) {
        long z = a * 0x9e3779b97f4a7c15L + b + 0x632be59bd9b4e019L;
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }
}
