package io.chorale.simulate;

import io.chorale.core.model.LoadSnapshot;
import io.chorale.workload.Workload;
import java.util.Arrays;
import java.util.List;

/**
 * How a run went. Times to first token are those of requests that got one; attainment and satisfaction count everybody, and
 * those who got none as missed.
 *
 * @param cut it was ended before everybody was answered
 * @param seconds of virtual time, with the draining of the last requests
 * @param satisfaction S-LoRA's: mean of 1 - (ttft / objective)^2, 0 beyond the objective
 * @param goodput requests a second that met both objectives, each from its last try, over the time in which requests came
 * @param throughput answered requests a second over the whole time, as S-LoRA counts
 * @param busyShare of the time in which the devices computed
 * @param ttft sorted, in seconds
 * @param goodOverTime as goodput, by when the last try came in each part of the time
 * @param attainmentOverTime of the requests that came in each part of the time in which requests came; NaN: none came
 */
public record SimulationResult(
        String workload,
        String policy,
        String device,
        int replicas,
        boolean cut,
        int requests,
        int served,
        int aborted,
        int rejected,
        int refused,
        long retries,
        double seconds,
        double arrivalSeconds,
        double attainment,
        double satisfaction,
        double goodput,
        double throughput,
        double tokensPerSecond,
        double meanLatencySeconds,
        double meanNormalisedLatency,
        double p90NormalisedLatency,
        double[] ttft,
        LogHistogram gaps,
        Objectives objectives,
        double busyShare,
        long steps,
        long preemptions,
        long uploads,
        long evictions,
        long merges,
        double mergedShare,
        int pagesTotal,
        List<TenantResult> tenants,
        List<String> tenantNames,
        TimeSeries series,
        double[] goodOverTime,
        double[] attainmentOverTime) {

    /** Parts of the time in which requests came, for {@link #attainmentOverTime}. */
    private static final int ARRIVAL_PARTS = 60;

    /** The objectives that a run is judged by. */
    record Objectives(double ttftSeconds, double tpotSeconds) {}

    /**
     * One tenant's part. Of many tenants only those who asked for most are here.
     *
     * @param p99TtftSeconds NaN: none of its requests got a token
     */
    public record TenantResult(
            int tenant, int requests, int served, double attainment, double p50TtftSeconds, double p99TtftSeconds) {}

    static SimulationResult of(
            SimulationSettings settings,
            Workload workload,
            Clients clients,
            List<Replica> replicas,
            Observations observations,
            long endNanos,
            boolean cut) {
        double ttftMax = settings.objectives().ttftSeconds();
        double tpotMax = settings.objectives().tpotSeconds();
        double[] ttft = new double[workload.size()];
        double[] normalised = new double[workload.size()];
        int[] came = new int[ARRIVAL_PARTS];
        double[] overTime = new double[ARRIVAL_PARTS];
        double[] goodOverTime = new double[ARRIVAL_PARTS];
        int first = 0;
        int within = 0;
        int good = 0;
        double satisfaction = 0;
        double latency = 0;
        int served = 0;
        for (int i = 0; i < workload.size(); i++) {
            Clients.Outcome outcome = clients.outcome(i);
            double t = clients.ttftSeconds(i);
            if (t >= 0) {
                ttft[first++] = t;
            }
            int part =
                    (int) Math.min(ARRIVAL_PARTS - 1, workload.nanos(i) / 1e9 / workload.lastSeconds() * ARRIVAL_PARTS);
            came[part]++;
            if (t < ttftMax) {
                within++;
                overTime[part]++;
                satisfaction += 1 - (t / ttftMax) * (t / ttftMax);
            }
            if (outcome == Clients.Outcome.SERVED) {
                int met = clients.tryTtftSeconds(i) < ttftMax && clients.tpotSeconds(i) <= tpotMax ? 1 : 0;
                good += met;
                if (clients.triedSeconds(i) <= workload.lastSeconds()) {
                    goodOverTime[part(clients.triedSeconds(i), workload)] += met;
                }
                latency += clients.latencySeconds(i);
                normalised[served++] = clients.latencySeconds(i) / workload.answerTokens(i);
            }
        }
        double seconds = endNanos / 1e9;
        double[] sorted = Arrays.copyOf(ttft, first);
        Arrays.sort(sorted);
        double[] perToken = Arrays.copyOf(normalised, served);
        Arrays.sort(perToken);
        Arrays.setAll(goodOverTime, part -> goodOverTime[part] / (workload.lastSeconds() / ARRIVAL_PARTS));
        Arrays.setAll(overTime, part -> overTime[part] / came[part]);
        Totals totals = Totals.of(replicas);
        return new SimulationResult(
                workload.name(),
                settings.policyName(),
                settings.device().name(),
                settings.replicas(),
                cut,
                workload.size(),
                served,
                clients.count(Clients.Outcome.ABORTED),
                clients.count(Clients.Outcome.REJECTED),
                clients.count(Clients.Outcome.REFUSED),
                clients.retriesSent,
                seconds,
                workload.lastSeconds(),
                (double) within / workload.size(),
                satisfaction / workload.size(),
                good / workload.lastSeconds(),
                served / seconds,
                totals.answerTokens / seconds,
                latency / served,
                Arrays.stream(perToken).average().orElse(Double.NaN),
                quantile(perToken, 0.9),
                sorted,
                clients.gaps,
                new Objectives(ttftMax, tpotMax),
                totals.busyNanos / 1e9 / seconds / settings.replicas(),
                totals.steps,
                totals.preemptions,
                totals.uploads,
                totals.evictions,
                totals.merges,
                totals.busyNanos == 0 ? 0 : (double) totals.mergedNanos / totals.busyNanos,
                settings.device().pages() * settings.replicas(),
                tenants(workload, clients, ttftMax),
                observations.tenantNames,
                observations.series,
                goodOverTime,
                overTime);
    }

    private static int part(double seconds, Workload workload) {
        return (int) Math.min(ARRIVAL_PARTS - 1, seconds / workload.lastSeconds() * ARRIVAL_PARTS);
    }

    private record Totals(
            long busyNanos,
            long mergedNanos,
            long merges,
            long steps,
            long answerTokens,
            long preemptions,
            long uploads,
            long evictions) {
        static Totals of(List<Replica> replicas) {
            Totals sum = new Totals(0, 0, 0, 0, 0, 0, 0, 0);
            for (Replica replica : replicas) {
                LoadSnapshot load = replica.snapshot();
                sum = new Totals(
                        sum.busyNanos + replica.busyNanos(),
                        sum.mergedNanos + replica.mergedNanos(),
                        sum.merges + replica.merges(),
                        sum.steps + replica.steps(),
                        sum.answerTokens + load.answerTokens(),
                        sum.preemptions + load.preemptions(),
                        sum.uploads + load.adapterLoads(),
                        sum.evictions + load.evictions());
            }
            return sum;
        }
    }

    private static List<TenantResult> tenants(Workload workload, Clients clients, double ttftMax) {
        int tenants = Math.min(workload.tenants(), Observations.TENANTS_SHOWN);
        TenantResult[] results = new TenantResult[tenants];
        for (int tenant = 0; tenant < tenants; tenant++) {
            double[] ttft = new double[workload.size()];
            int requests = 0;
            int first = 0;
            int served = 0;
            int within = 0;
            for (int i = 0; i < workload.size(); i++) {
                if (workload.tenant(i) == tenant) {
                    requests++;
                    served += clients.outcome(i) == Clients.Outcome.SERVED ? 1 : 0;
                    double t = clients.ttftSeconds(i);
                    within += t < ttftMax ? 1 : 0;
                    if (t >= 0) {
                        ttft[first++] = t;
                    }
                }
            }
            double[] sorted = Arrays.copyOf(ttft, first);
            Arrays.sort(sorted);
            results[tenant] = new TenantResult(
                    tenant,
                    requests,
                    served,
                    requests == 0 ? Double.NaN : (double) within / requests,
                    quantile(sorted, 0.5),
                    quantile(sorted, 0.99));
        }
        return List.of(results);
    }

    static double quantile(double[] sorted, double q) {
        if (sorted.length == 0) {
            return Double.NaN;
        }
        int rank = (int) Math.ceil(q * sorted.length);
        return sorted[Math.clamp(rank - 1, 0, sorted.length - 1)];
    }

    public double ttftQuantile(double q) {
        return quantile(ttft, q);
    }

    public double ttftMean() {
        return Arrays.stream(ttft).average().orElse(Double.NaN);
    }

    public double itlQuantile(double q) {
        return gaps.quantileSeconds(q);
    }
}
