package io.chorale.workload;

import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * Requests in the order in which they come. Held as columns, because a million of them is an ordinary workload.
 *
 * <p>Adapters are numbered from 0 and requests for the base model have adapter {@link #BASE}. Ranks are dealt to adapters
 * in turn: adapter i has the i-th rank of the list, which begins again at its end.
 */
public final class Workload {
    public static final int BASE = -1;

    private final String name;
    private final int adapters;
    private final int[] ranks;
    private final long[] nanos;
    private final int[] tenant;
    private final int[] adapter;
    private final int[] promptTokens;
    private final int[] answerTokens;

    private Workload(String name, int adapters, int[] ranks, Columns columns) {
        this.name = name;
        this.adapters = adapters;
        this.ranks = ranks;
        nanos = Arrays.copyOf(columns.nanos, columns.size);
        tenant = Arrays.copyOf(columns.tenant, columns.size);
        adapter = Arrays.copyOf(columns.adapter, columns.size);
        promptTokens = Arrays.copyOf(columns.promptTokens, columns.size);
        answerTokens = Arrays.copyOf(columns.answerTokens, columns.size);
    }

    /** What it was drawn from, for people. */
    public String name() {
        return name;
    }

    public int size() {
        return nanos.length;
    }

    /** Adapters that requests may ask for; those nobody asks for included. */
    public int adapters() {
        return adapters;
    }

    public int rank(int ofAdapter) {
        return ranks[ofAdapter % ranks.length];
    }

    /** When request {@code i} comes, from the beginning. */
    public long nanos(int i) {
        return nanos[i];
    }

    public int tenant(int i) {
        return tenant[i];
    }

    public int adapter(int i) {
        return adapter[i];
    }

    public int promptTokens(int i) {
        return promptTokens[i];
    }

    /** Tokens that the answer will have: no more and no fewer. */
    public int answerTokens(int i) {
        return answerTokens[i];
    }

    /** Tenants are numbered from 0 to below this. */
    public int tenants() {
        return 1 + Arrays.stream(tenant).max().orElse(0);
    }

    public int adaptersAskedFor() {
        return (int) Arrays.stream(adapter).filter(a -> a != BASE).distinct().count();
    }

    public long promptTokensSum() {
        return Arrays.stream(promptTokens).asLongStream().sum();
    }

    public long answerTokensSum() {
        return Arrays.stream(answerTokens).asLongStream().sum();
    }

    public double lastSeconds() {
        return size() == 0 ? 0 : nanos[size() - 1] / 1e9;
    }

    /** The same requests, each of the tenant that owns its adapter: adapters are dealt to tenants in turn. */
    public Workload dealtTo(int tenants) {
        Columns columns = new Columns(size());
        for (int i = 0; i < size(); i++) {
            columns.add(nanos[i], Math.max(0, adapter[i]) % tenants, adapter[i], promptTokens[i], answerTokens[i]);
        }
        return columns.toWorkload(name, adapters, ranks);
    }

    /** The same requests, with so many tokens more in every prompt. */
    public Workload withLongerPrompts(int tokens) {
        Columns columns = new Columns(size());
        for (int i = 0; i < size(); i++) {
            columns.add(nanos[i], tenant[i], adapter[i], promptTokens[i] + tokens, answerTokens[i]);
        }
        return columns.toWorkload(name, adapters, ranks);
    }

    /**
     * This and another one together, by time. The other's adapters and tenants are its own: they are numbered after these.
     * Both must deal the same ranks.
     */
    public Workload with(Workload other) {
        if (!Arrays.equals(ranks, other.ranks) || adapters % ranks.length != 0) {
            throw new IllegalArgumentException("workloads with different ranks cannot be played together");
        }
        int tenantsHere = tenants();
        long[] order = IntStream.range(0, size() + other.size())
                .boxed()
                .sorted((a, b) -> Long.compare(nanosOf(a, other), nanosOf(b, other)))
                .mapToLong(Integer::intValue)
                .toArray();
        Columns columns = new Columns(order.length);
        for (long at : order) {
            int i = (int) at;
            int j = i - size();
            if (j < 0) {
                columns.add(nanos[i], tenant[i], adapter[i], promptTokens[i], answerTokens[i]);
            } else {
                int itsAdapter = other.adapter[j] == BASE ? BASE : adapters + other.adapter[j];
                columns.add(
                        other.nanos[j],
                        tenantsHere + other.tenant[j],
                        itsAdapter,
                        other.promptTokens[j],
                        other.answerTokens[j]);
            }
        }
        return columns.toWorkload(name + " + " + other.name, adapters + other.adapters, ranks);
    }

    /** This, and then another one of the same tenants and adapters, which begins at a time: what would come later of this is left out. */
    public Workload followedBy(Workload other, double atSeconds) {
        if (adapters != other.adapters || !Arrays.equals(ranks, other.ranks)) {
            throw new IllegalArgumentException("workloads of different adapters cannot follow each other");
        }
        long shift = (long) (atSeconds * 1e9);
        Columns columns = new Columns(size() + other.size());
        for (int i = 0; i < size() && nanos[i] < shift; i++) {
            columns.add(nanos[i], tenant[i], adapter[i], promptTokens[i], answerTokens[i]);
        }
        for (int i = 0; i < other.size(); i++) {
            columns.add(
                    shift + other.nanos[i],
                    other.tenant[i],
                    other.adapter[i],
                    other.promptTokens[i],
                    other.answerTokens[i]);
        }
        return columns.toWorkload(name + ", then " + other.name, adapters, ranks);
    }

    private long nanosOf(int i, Workload other) {
        return i < size() ? nanos[i] : other.nanos[i - size()];
    }

    /** Requests being collected, in the order of their time. */
    static final class Columns {
        private long[] nanos;
        private int[] tenant;
        private int[] adapter;
        private int[] promptTokens;
        private int[] answerTokens;
        private int size;

        Columns(int expected) {
            nanos = new long[Math.max(1, expected)];
            tenant = new int[nanos.length];
            adapter = new int[nanos.length];
            promptTokens = new int[nanos.length];
            answerTokens = new int[nanos.length];
        }

        void add(long when, int whose, int which, int prompt, int answer) {
            if (size == nanos.length) {
                int room = 2 * size;
                nanos = Arrays.copyOf(nanos, room);
                tenant = Arrays.copyOf(tenant, room);
                adapter = Arrays.copyOf(adapter, room);
                promptTokens = Arrays.copyOf(promptTokens, room);
                answerTokens = Arrays.copyOf(answerTokens, room);
            }
            nanos[size] = when;
            tenant[size] = whose;
            adapter[size] = which;
            promptTokens[size] = prompt;
            answerTokens[size++] = answer;
        }

        Workload toWorkload(String name, int adapters, int[] ranks) {
            return new Workload(name, adapters, ranks.clone(), this);
        }
    }
}
