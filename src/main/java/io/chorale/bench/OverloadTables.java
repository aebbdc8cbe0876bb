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
    private static final double SHARE = 0.9;
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
            double peak = Arrays.stream(LOADS)
                    .map(load -> PolicyTables.play(
                                    policy,
                                    PolicyTables.workload(ADAPTERS, 1, load * saturation, 1, 120),
                                    Door.SERVER,
                                    RetryRule.OPENAI)
                            .goodput())
                    .max()
                    .orElseThrow();
            Workload storm = PolicyTables.workload(ADAPTERS, 1, 0.7 * saturation, 1, NORMAL_SECONDS)
                    .followedBy(
                            PolicyTables.workload(ADAPTERS, 1, 4 * saturation, 1, OVERLOAD_SECONDS), NORMAL_SECONDS);
            Workload all = storm.followedBy(
                    PolicyTables.workload(ADAPTERS, 1, 0.7 * saturation, 1, CALM_SECONDS),
                    NORMAL_SECONDS + OVERLOAD_SECONDS);
            SimulationResult r = PolicyTables.play(policy, all, Door.SERVER, RetryRule.OPENAI);
            double during = mean(r, r.goodOverTime(), NORMAL_SECONDS, NORMAL_SECONDS + OVERLOAD_SECONDS);
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

                Ten tenants with 20 adapters each; together they send 0.9 of saturation. Then one of them sends a hundred times its share,
                clients trying again. Of the nine others, the p99 of the time to first token, in seconds, and their attainment. The first
                column is the same saturated server with the flooder held to its share: it sends what fills the server up, and no more.

                | policy | p99, held to its share | p99, flooding | moved by | attainment, flooding |
                |---|---|---|---|---|
                """);
        double perTenant = SHARE * saturation / 10;
        for (String policy : new String[] {"chorale", "slora", "fcfs"}) {
            SimulationResult held = tenants(policy, perTenant, 2 * perTenant);
            SimulationResult flooding = tenants(policy, perTenant, FLOOD_FACTOR * perTenant);
            double before = p99(held);
            double after = p99(flooding);
            page.append(String.format(
                    Locale.ROOT,
                    "| %s | %.2f | %.2f | %.0f %% | %.1f %% |%n",
                    policy,
                    before,
                    after,
                    100 * (after / before - 1),
                    100
                            * flooding.tenants().stream()
                                    .filter(tenant -> tenant.tenant() < 7)
                                    .mapToDouble(SimulationResult.TenantResult::attainment)
                                    .average()
                                    .orElse(Double.NaN)));
        }
        page.append('\n');
    }

    private static SimulationResult tenants(String policy, double perTenant, double flooder) {
        Workload others = PolicyTables.workload(180, 1, 9 * perTenant, 1, 60).dealtTo(9);
        Workload one = PolicyTables.workload(20, 1, flooder, 1, 60);
        return PolicyTables.play(policy, others.with(one), Door.SERVER, RetryRule.OPENAI);
    }

    /** The mean of the p99 of tenants that behave; eight of all ten are reported. */
    private static double p99(SimulationResult r) {
        return r.tenants().stream()
                .filter(tenant -> tenant.tenant() < 7)
                .mapToDouble(SimulationResult.TenantResult::p99TtftSeconds)
                .average()
                .orElse(Double.NaN);
    }
}
