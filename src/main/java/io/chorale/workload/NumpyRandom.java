package io.chorale.workload;

/**
 * The random numbers that {@code numpy.random.seed(n)} stands for: MT19937 and NumPy's legacy distributions, whose streams
 * NumPy promises never to change. Published workloads are defined by such a seed; this draws the same ones.
 */
public final class NumpyRandom {
    private static final int WORDS = 624;
    private static final int SHIFT = 397;

    private final int[] state = new int[WORDS];
    private int position = WORDS;
    private double gaussKept;
    private boolean hasGaussKept;

    public NumpyRandom(int seed) {
        int word = seed;
        for (int i = 0; i < WORDS; i++) {
            state[i] = word;
            word = 1812433253 * (word ^ (word >>> 30)) + i + 1;
        }
    }

    private int nextWord() {
        if (position == WORDS) {
            for (int i = 0; i < WORDS; i++) {
                int mixed = (state[i] & 0x80000000) | (state[(i + 1) % WORDS] & 0x7fffffff);
                state[i] = state[(i + SHIFT) % WORDS] ^ (mixed >>> 1) ^ (-(mixed & 1) & 0x9908b0df);
            }
            position = 0;
        }
        int word = state[position++];
        word ^= word >>> 11;
        word ^= (word << 7) & 0x9d2c5680;
        word ^= (word << 15) & 0xefc60000;
        return word ^ (word >>> 18);
    }

    /** Uniform in [0, 1), of 53 bits. */
    double uniform() {
        int high = nextWord() >>> 5;
        int low = nextWord() >>> 6;
        return (high * 67108864.0 + low) / 9007199254740992.0;
    }

    /** {@code randint(from, to)}: uniform over {@code [from, to)}, by masking and rejecting. */
    int between(int from, int to) {
        int range = to - from - 1;
        if (range == 0) {
            return from;
        }
        int mask = -1 >>> Integer.numberOfLeadingZeros(range);
        int drawn = nextWord() & mask;
        while (drawn > range) {
            drawn = nextWord() & mask;
        }
        return from + drawn;
    }

    double exponential() {
        return -StrictMath.log(1 - uniform());
    }

    /** {@code power(a)}: density a x^(a-1) on [0, 1]; uniform when a is 1. */
    double power(double a) {
        return StrictMath.pow(1 - StrictMath.exp(-exponential()), 1 / a);
    }

    double gaussian() {
        if (hasGaussKept) {
            hasGaussKept = false;
            return gaussKept;
        }
        double x;
        double y;
        double square;
        do {
            x = 2 * uniform() - 1;
            y = 2 * uniform() - 1;
            square = x * x + y * y;
        } while (square >= 1 || square == 0);
        double factor = StrictMath.sqrt(-2 * StrictMath.log(square) / square);
        gaussKept = factor * x;
        hasGaussKept = true;
        return factor * y;
    }

    /** {@code gamma(shape, scale)}: Marsaglia and Tsang from shape 1 on, Ahrens and Dieter below. */
    double gamma(double shape, double scale) {
        if (shape == 1) {
            return scale * exponential();
        }
        return scale * (shape < 1 ? gammaBelowOne(shape) : gammaAboveOne(shape));
    }

    private double gammaBelowOne(double shape) {
        while (true) {
            double u = uniform();
            double v = exponential();
            if (u <= 1 - shape) {
                double x = StrictMath.pow(u, 1 / shape);
                if (x <= v) {
                    return x;
                }
            } else {
                double y = -StrictMath.log((1 - u) / shape);
                double x = StrictMath.pow(1 - shape + shape * y, 1 / shape);
                if (x <= v + y) {
                    return x;
                }
            }
        }
    }

    private double gammaAboveOne(double shape) {
        double b = shape - 1.0 / 3;
        double c = 1 / StrictMath.sqrt(9 * b);
        while (true) {
            double x;
            double v;
            do {
                x = gaussian();
                v = 1 + c * x;
            } while (v <= 0);
            v = v * v * v;
            double u = uniform();
            if (u < 1 - 0.0331 * (x * x) * (x * x)
                    || StrictMath.log(u) < 0.5 * x * x + b * (1 - v + StrictMath.log(v))) {
                return b * v;
            }
        }
    }
}
