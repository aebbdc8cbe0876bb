package io.chorale.bench;

import io.chorale.simulate.SimulationResult;
import io.chorale.simulate.SimulationSettings.Door;
import io.chorale.workload.RetryRule;
import io.chorale.workload.Workload;
import java.util.Arrays;
import java.util.Locale;
import java.util.stream.IntStream;

/** Four times as much as can be served, with clients that try again; and a tenant that sends a hundred times its share. */
final class OverloadTables {
    private static final int ADAPTERS = 200;
    private static final double NORMAL_SECONDS = 60;
    private static final double OVERLOAD_SECONDS = 60;
    private static final double CALM_SECONDS = 120;
    private static final double BACK_AFTER_SECONDS = 10;
    private static final double[] LOADS = {0.7, 0.9, 1, 1.1, 1.3, 2};
    /** Until a server is as full as a load makes it. */
    private static final double WARM_SECONDS = 10;

    private static final int TENANTS = 10;
    /** Of those that a result tells of one by one. */
    private static final int TENANTS_LOOKED_AT = 8;

    private static final double OTHERS_LOAD = 0.9;
    private static final double HELD_LOAD = 0.15;
    private static final double TENANT_SHARE = 0.25;
    private static final int FLOOD_FACTOR = 100;

    private final StringBuilder page;

    OverloadTables(StringBuilder page) {
        this.page = page;
    }

    void write() {
        double saturation = PolicyTables.saturation(ADAPTERS, 1);
        overload(saturation);
        flood(saturation);
    }

    // ---- overload -------------------------------------------------------------------------------------------------

    private void overload(double saturation) {
        page.append("""
                ## Four times overload

                200 adapters; 60 s at 0.7 of saturation, 60 s at four times saturation, 120 s at 0.7 again. Clients try again as the OpenAI
                SDKs do, the door is the server's. Peak goodput is the best over steady loads of 0.7 to 2.

                | policy | peak goodput | goodput in overload | of peak | attainment from 10 s after it | tries again |
                |---|---|---|---|---|---|
                """);
        for (String policy : new String[] {"chorale", "slora", "fcfs"}) {
            double peak = peak(policy, saturation);
            Workload storm = PolicyTables.workload(ADAPTERS, 1, 0.7 * saturation, 1, NORMAL_SECONDS)
                    .followedBy(
                            PolicyTables.workload(ADAPTERS, 1, 4 * saturation, 1, OVERLOAD_SECONDS), NORMAL_SECONDS);
            Workload all = storm.followedBy(
                    PolicyTables.workload(ADAPTERS, 1, 0.7 * saturation, 1, CALM_SECONDS),
                    NORMAL_SECONDS + OVERLOAD_SECONDS);
            SimulationResult r = PolicyTables.play(policy, all, Door.SERVER, RetryRule.OPENAI);
            double during = mean(r, r.goodOverTime(), NORMAL_SECONDS + WARM_SECONDS, NORMAL_SECONDS + OVERLOAD_SECONDS);
            double after = mean(
                    r,
                    r.attainmentOverTime(),
                    NORMAL_SECONDS + OVERLOAD_SECONDS + BACK_AFTER_SECONDS,
                    Double.MAX_VALUE);
            page.append(String.format(
                    Locale.ROOT,
                    "| %s | %.2f | %.2f | %.0f %% | %.1f %% | %,d |%n",
                    policy,
                    peak,
                    during,
                    100 * during / peak,
                    100 * after,
                    r.retries()));
        }
        page.append('\n');
    }

    /** The most requests a second that meet their objectives, over steady loads. */
    private static double peak(String policy, double saturation) {
        return Arrays.stream(LOADS)
                .mapToObj(load -> PolicyTables.play(
                        policy,
                        PolicyTables.workload(ADAPTERS, 1, load * saturation, 1, 120),
                        Door.SERVER,
                        RetryRule.OPENAI))
                .mapToDouble(r -> mean(r, r.goodOverTime(), WARM_SECONDS, Double.MAX_VALUE))
                .max()
                .orElseThrow();
    }

    private static double mean(SimulationResult r, double[] overTime, double from, double to) {
        double part = r.arrivalSeconds() / overTime.length;
        return IntStream.range(0, overTime.length)
                .filter(i -> i * part >= from && (i + 1) * part <= to && !Double.isNaN(overTime[i]))
                .mapToDouble(i -> overTime[i])
                .average()
                .orElse(Double.NaN);
    }

    // ---- a flood --------------------------------------------------------------------------------------------------

    private void flood(double saturation) {
        page.append("""
                ## A tenant that floods

                Ten tenants with 20 adapters each. Nine send together 0.9 of the peak goodput; the tenth sends 0.15 of it, which
                saturates the server, and then a hundred times its share of a tenth. No tenant may have more than a quarter of the places
                behind the door; clients try again. Of the nine: p99 of the time to first token, in seconds (mean over tenants), and attainment.

                | policy | p99, tenth held to its share | p99, tenth flooding | moved by | attainment, held | attainment, flooding |
                |---|---|---|---|---|---|
                """);
        for (String policy : new String[] {"chorale", "slora", "fcfs"}) {
            double capacity = peak(policy, saturation);
            SimulationResult held = tenants(policy, capacity, HELD_LOAD);
            SimulationResult flooding = tenants(policy, capacity, (double) FLOOD_FACTOR / TENANTS);
            double before = p99(held);
            double after = p99(flooding);
            page.append(String.format(
                    Locale.ROOT,
                    "| %s | %.2f | %.2f | %+.0f %% | %.1f %% | %.1f %% |%n",
                    policy,
                    before,
                    after,
                    100 * (after / before - 1),
                    100 * attainment(held),
                    100 * attainment(flooding)));
        }
        page.append('\n');
    }

    /** @param load of the tenth tenant, relative to what can be served */
    private static SimulationResult tenants(String policy, double capacity, double load) {
        Workload others =
                PolicyTables.workload(180, 1, OTHERS_LOAD * capacity, 1, 60).dealtTo(TENANTS - 1);
        Workload tenth = PolicyTables.workload(20, 1, load * capacity, 1, 60);
        return PolicyTables.play(
                policy, others.with(tenth), Door.SERVER.withTenantShare(TENANT_SHARE), RetryRule.OPENAI);
    }

    /** The mean over tenants that behave. */
    private static double p99(SimulationResult r) {
        return r.tenants().stream()
                .filter(tenant -> tenant.tenant() < TENANTS_LOOKED_AT)
                .mapToDouble(SimulationResult.TenantResult::p99TtftSeconds)
                .average()
                .orElse(Double.NaN);
    }

    private static double attainment(SimulationResult r) {
        return r.tenants().stream()
                .filter(tenant -> tenant.tenant() < TENANTS_LOOKED_AT)
                .mapToDouble(SimulationResult.TenantResult::attainment)
                .average()
                .orElse(Double.NaN);
    }
}
