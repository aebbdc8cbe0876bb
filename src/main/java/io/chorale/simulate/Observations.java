package io.chorale.simulate;

import io.chorale.core.model.LoadSnapshot;
import io.chorale.workload.Workload;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/** What is seen over time in a run, of all replicas together. */
final class Observations {
    /** Tenants shown by themselves; the rest is one. */
    static final int TENANTS_SHOWN = 8;

    static final String KV_PAGES = "kv pages";
    static final String ADAPTER_PAGES = "adapter pages";
    static final String FREE_PAGES = "free pages";
    static final String WAITING = "waiting";
    static final String RUNNING = "running";
    static final String RESIDENT = "adapters resident";
    static final String MERGES = "merges";
    static final String MERGED_SHARE = "merged seconds";

    private static final List<String> LOADS =
            List.of(KV_PAGES, ADAPTER_PAGES, FREE_PAGES, WAITING, RUNNING, RESIDENT, MERGES, MERGED_SHARE);
    private static final int INPUT_PRICE = 1;
    private static final int OUTPUT_PRICE = 2;

    final TimeSeries series;
    final List<String> tenantNames;
    private final Workload workload;
    /** The column of each tenant's service. */
    private final int[] tenantColumn;

    long aborts;
    long refusals;
    private long mergesSeen;
    private long mergedNanosSeen;

    Observations(Workload workload) {
        this.workload = workload;
        int tenants = workload.tenants();
        int shown = Math.min(tenants, TENANTS_SHOWN);
        long[] wanted = new long[tenants];
        for (int i = 0; i < workload.size(); i++) {
            wanted[workload.tenant(i)] += workload.answerTokens(i);
        }
        int[] byDemand = IntStream.range(0, tenants)
                .boxed()
                .sorted((a, b) -> Long.compare(wanted[b], wanted[a]))
                .mapToInt(Integer::intValue)
                .toArray();
        boolean others = tenants > shown;
        int columns = shown + (others ? 1 : 0);
        tenantColumn = new int[tenants];
        Arrays.fill(tenantColumn, LOADS.size() + shown);
        String[] names = new String[LOADS.size() + columns];
        boolean[] sums = new boolean[names.length];
        for (int i = 0; i < LOADS.size(); i++) {
            names[i] = LOADS.get(i);
        }
        for (int i = 0; i < columns; i++) {
            names[LOADS.size() + i] = i < shown ? "tenant " + byDemand[i] : "other tenants";
        }
        for (int i = 0; i < shown; i++) {
            tenantColumn[byDemand[i]] = LOADS.size() + i;
        }
        Arrays.fill(sums, LOADS.indexOf(MERGES), sums.length, true);
        series = new TimeSeries(names, sums);
        tenantNames = List.of(names).subList(LOADS.size(), names.length);
    }

    void moveTo(double seconds) {
        series.moveTo(seconds);
    }

    void prompt(int request) {
        int price = INPUT_PRICE * workload.promptTokens(request);
        series.add(tenantColumn[workload.tenant(request)], price);
    }

    void token(int request) {
        series.add(tenantColumn[workload.tenant(request)], OUTPUT_PRICE);
    }

    void load(boolean first, LoadSnapshot load) {
        put(first, 0, load.pagesKv());
        put(first, 1, load.pagesAdapter());
        put(first, 2, load.pagesFree());
        put(first, 3, load.waitingRequests());
        put(first, 4, load.runningSequences());
        put(first, 5, load.residentAdapters().length);
    }

    private void put(boolean first, int column, double value) {
        if (first) {
            series.set(column, value);
        } else {
            series.add(column, value);
        }
    }

    void merges(List<Replica> replicas) {
        long merges = 0;
        long mergedNanos = 0;
        for (Replica replica : replicas) {
            merges += replica.merges();
            mergedNanos += replica.mergedNanos();
        }
        series.add(6, (double) (merges - mergesSeen));
        series.add(7, (mergedNanos - mergedNanosSeen) / 1e9);
        mergesSeen = merges;
        mergedNanosSeen = mergedNanos;
    }
}
