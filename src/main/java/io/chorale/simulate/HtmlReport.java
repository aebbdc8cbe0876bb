package io.chorale.simulate;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.IntStream;

/** Runs side by side as one HTML page that needs nothing else: figures, then plots, drawn as SVG inside the page. */
final class HtmlReport {
    private static final int CURVE_POINTS = 240;
    private static final int SMOOTH_POINTS = 80;
    private static final double CURVE_FLOOR_SECONDS = 1e-3;

    private static final String STYLE = """
            :root{--paper:#fbfaf7;--card:#fff;--ink:#1d2126;--soft:#69727d;--line:#e4e1da;--good:#14804a;
            --c0:#2f6fde;--c1:#e07b1a;--c2:#1d9a6c;--c3:#c2408f;--c4:#7a5bd6;--c5:#0e93a8;--c6:#b3542b;--c7:#8a8f1e;--c8:#9aa1ab}
            @media(prefers-color-scheme:dark){:root{--paper:#14171b;--card:#1b1f25;--ink:#e6e8ea;--soft:#98a1ab;--line:#2c323a;
            --good:#4cc38a;--c0:#6ea1ff;--c1:#f2a154;--c2:#4cc79a;--c3:#e77fbd;--c4:#a790f0;--c5:#4fc4d6;--c6:#d98a63;--c7:#c3c75a;--c8:#7d858f}}
            *{box-sizing:border-box}
            body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
            main{max-width:1240px;margin:0 auto;padding:34px 26px 60px}
            h1{font-size:26px;margin:0 0 4px;letter-spacing:-.01em}h2{font-size:17px;margin:34px 0 12px}
            h2,h3,.legend,footer{overflow-wrap:anywhere}
            .about{color:var(--soft);margin:0 0 22px;max-width:900px}
            .tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(290px,1fr));gap:14px}
            .tile,figure,.table{background:var(--card);border:1px solid var(--line);border-radius:10px}
            .tile{padding:14px 16px;border-top:3px solid var(--tile)}
            .tile h3{margin:0 0 8px;font-size:14px}
            .tile dl{display:grid;grid-template-columns:1fr auto;gap:2px 10px;margin:0}
            .tile dt{color:var(--soft)}.tile dd{margin:0;text-align:right;font-variant-numeric:tabular-nums;font-weight:600}
            .plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(480px,1fr));gap:14px}
            figure{margin:0;padding:14px 14px 8px}figcaption{margin:0 0 4px}figcaption span{color:var(--soft);font-size:13px}
            .legend{font-size:12.5px;color:var(--soft)}.legend span{display:inline-block;margin-right:9px}
            .legend i{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:5px}
            svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font-size:11px;font-variant-numeric:tabular-nums}
            .grid{stroke:var(--line);stroke-width:1}.line{fill:none;stroke-width:2;stroke-linejoin:round}.area{opacity:.82}
            line.rule{stroke:var(--ink);stroke-dasharray:4 4;opacity:.6}text.rule{fill:var(--ink)}
            .table{overflow-x:auto;padding:4px 16px 10px}
            table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
            th,td{padding:5px 10px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
            th:first-child,td:first-child,td:last-child,th:last-child{text-align:left}th{white-space:normal;vertical-align:bottom}td:last-child{color:var(--soft);white-space:normal}
            tr:last-child td{border-bottom:0}footer{margin-top:26px;color:var(--soft);font-size:13px}
            code{font:12.5px ui-monospace,Menlo,Consolas,monospace}
            @media(max-width:560px){main{padding:24px 14px 40px}.plots{grid-template-columns:1fr}figure{padding:12px 10px 6px}
            svg text{font-size:16px}.table{padding:4px 8px 8px}th,td{padding:5px 4px}}
            """;

    private final List<SimulationResult> results;
    private final String command;
    private final StringBuilder html = new StringBuilder();

    private HtmlReport(List<SimulationResult> results, String command) {
        this.results = results;
        this.command = command;
    }

    /** @param command that gives this report again */
    static String of(List<SimulationResult> results, String command) {
        return new HtmlReport(results, command).page();
    }

    private String page() {
        SimulationResult first = results.getFirst();
        html.append("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Chorale simulation</title>");
        html.append("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><style>");
        html.append(STYLE).append("</style><main><h1>What the scheduler would do</h1><p class=\"about\">");
        html.append(Html.text(first.workload())).append(". ");
        html.append(Html.text("%s requests in %s s on %s%s."
                .formatted(
                        ResultTable.whole(first.requests()),
                        ResultTable.fixed(first.arrivalSeconds(), 1),
                        first.replicas() == 1 ? "one " : first.replicas() + " x ",
                        first.device())));
        html.append("</p>");
        tiles();
        html.append("<h2>Latency</h2><div class=\"plots\">");
        latency();
        html.append("</div>");
        for (SimulationResult result : results) {
            html.append("<h2>Over time").append(results.size() == 1 ? "" : ": " + Html.text(result.policy()));
            html.append("</h2><div class=\"plots\">");
            overTime(result);
            html.append("</div>");
        }
        table();
        tenants();
        html.append("<footer>Made by <code>").append(Html.text(command));
        html.append(
                "</code>, in virtual time with the server's own scheduler: the same command gives the same figures.");
        return html.append("</footer></main></html>\n").toString();
    }

    private void tiles() {
        html.append("<div class=\"tiles\">");
        for (int i = 0; i < results.size(); i++) {
            SimulationResult r = results.get(i);
            html.append(
                    "<section class=\"tile\" style=\"--tile:var(--c%d)\"><h3>%s</h3><dl>".formatted(i % 9, name(r)));
            tile(
                    "attainment (%s s)".formatted(SvgPlot.number(r.objectives().ttftSeconds())),
                    ResultTable.percent(r.attainment()) + " %");
            tile("goodput", ResultTable.fixed(r.goodput(), 2) + " req/s");
            tile("throughput", ResultTable.fixed(r.throughput(), 2) + " req/s");
            tile(
                    "TTFT p50 / p99",
                    ResultTable.seconds(r.ttftQuantile(0.5)) + " / " + ResultTable.seconds(r.ttftQuantile(0.99))
                            + " s");
            tile(
                    "ITL p50 / p99",
                    ResultTable.seconds(r.itlQuantile(0.5)) + " / " + ResultTable.seconds(r.itlQuantile(0.99)) + " s");
            tile("not served", ResultTable.whole((long) r.requests() - r.served()));
            html.append("</dl></section>");
        }
        html.append("</div>");
    }

    private void tile(String name, String value) {
        html.append("<dt>")
                .append(Html.text(name))
                .append("</dt><dd>")
                .append(Html.text(value))
                .append("</dd>");
    }

    // ---- plots ----------------------------------------------------------------------------------------------------

    private void latency() {
        SvgPlot ttft = new SvgPlot("Time to first token", "share of all requests within it", "seconds", "share")
                .logarithmic()
                .percent();
        SvgPlot itl = new SvgPlot("Gaps between tokens", "share of all gaps within it", "seconds", "share")
                .logarithmic()
                .percent();
        for (SimulationResult r : results) {
            int points = Math.min(CURVE_POINTS, r.ttft().length);
            double[] x = new double[points];
            double[] y = new double[points];
            for (int i = 0; i < points; i++) {
                int at = points == 1 ? 0 : (int) ((long) i * (r.ttft().length - 1) / (points - 1));
                x[i] = Math.max(CURVE_FLOOR_SECONDS, r.ttft()[at]);
                y[i] = (at + 1.0) / r.requests();
            }
            ttft.line(r.policy(), x, y);
            itl.line(r.policy(), gaps(r), shares(r));
        }
        ttft.rule(results.getFirst().objectives().ttftSeconds(), "objective");
        SvgPlot attainment = new SvgPlot(
                        "Attainment over time", "share within the objective, by when requests came", "seconds", "share")
                .percent();
        for (SimulationResult r : results) {
            double part = r.arrivalSeconds() / r.attainmentOverTime().length;
            int[] some = IntStream.range(0, r.attainmentOverTime().length)
                    .filter(i -> !Double.isNaN(r.attainmentOverTime()[i]))
                    .toArray();
            attainment.line(
                    r.policy(),
                    Arrays.stream(some).mapToDouble(i -> (i + 0.5) * part).toArray(),
                    Arrays.stream(some)
                            .mapToDouble(i -> r.attainmentOverTime()[i])
                            .toArray());
        }
        draw(ttft);
        draw(itl);
        draw(attainment);
    }

    private static double[] gaps(SimulationResult r) {
        double[] x = new double[r.gaps().count() == 0 ? 0 : CURVE_POINTS];
        Arrays.setAll(x, i -> r.itlQuantile((i + 0.5) / CURVE_POINTS));
        return x;
    }

    private static double[] shares(SimulationResult r) {
        double[] y = new double[r.gaps().count() == 0 ? 0 : CURVE_POINTS];
        Arrays.setAll(y, i -> (i + 0.5) / CURVE_POINTS);
        return y;
    }

    private void overTime(SimulationResult r) {
        TimeSeries series = r.series();
        double[] x = new double[series.size()];
        Arrays.setAll(x, i -> (i + 0.5) * series.intervalSeconds());
        plot("Pages by use", "of " + ResultTable.whole(r.pagesTotal()) + " in the pool", "pages", plot -> {
            plot.stacked();
            for (String name : List.of(Observations.KV_PAGES, Observations.ADAPTER_PAGES, Observations.FREE_PAGES)) {
                plot.line(name, x, series.column(name));
            }
        });
        plot("Requests", "waiting and running", "requests", plot -> {
            plot.line(Observations.WAITING, x, series.column(Observations.WAITING));
            plot.line(Observations.RUNNING, x, series.column(Observations.RUNNING));
        });
        plot("Service by tenant", "prompt tokens + 2 x answer tokens", "per second", plot -> {
            plot.stacked();
            for (String tenant : r.tenantNames()) {
                plot.line(tenant, smooth(x), smooth(series.column(tenant)));
            }
        });
        plot(
                "Adapters resident",
                "on the device",
                "adapters",
                plot -> plot.line(Observations.RESIDENT, x, series.column(Observations.RESIDENT)));
        if (r.merges() > 0) {
            plot("Merged", "share of each second, and merges", "per second", plot -> {
                plot.line("merged share", x, series.column(Observations.MERGED_SHARE));
                plot.line("merges a second", x, series.column(Observations.MERGES));
            });
        }
    }

    /** Means of neighbours, where there are more points than one can look at. */
    private static double[] smooth(double[] values) {
        int together = Math.max(1, values.length / SMOOTH_POINTS);
        double[] means = new double[values.length / together];
        Arrays.setAll(
                means,
                i -> Arrays.stream(values, i * together, (i + 1) * together)
                        .average()
                        .orElse(Double.NaN));
        return means;
    }

    private void plot(String title, String note, String yLabel, Consumer<SvgPlot> lines) {
        SvgPlot plot = new SvgPlot(title, note, "seconds", yLabel);
        lines.accept(plot);
        draw(plot);
    }

    private void draw(SvgPlot plot) {
        if (!plot.isEmpty()) {
            plot.draw(html);
        }
    }

    // ---- tables ---------------------------------------------------------------------------------------------------

    private void table() {
        html.append("<h2>All figures</h2><div class=\"table\"><table><tr><th></th>");
        results.forEach(r -> html.append("<th>").append(name(r)).append("</th>"));
        html.append("<th></th></tr>");
        for (ResultTable.Row row : ResultTable.ROWS) {
            html.append("<tr><td>").append(Html.text(row.name()));
            html.append(row.unit().isEmpty() ? "" : ", " + Html.text(row.unit()))
                    .append("</td>");
            results.forEach(
                    r -> html.append("<td>").append(row.value().apply(r)).append("</td>"));
            html.append("<td>").append(Html.text(row.meaning())).append("</td></tr>");
        }
        html.append("</table></div>");
    }

    /** A policy's text, which may go on in another line after a comma. */
    private static String name(SimulationResult result) {
        return Html.text(result.policy()).replace(",", ",<wbr>");
    }

    private void tenants() {
        if (results.getFirst().tenants().size() < 2) {
            return;
        }
        html.append("<h2>Tenants</h2><div class=\"table\"><table><tr><th></th><th>requests</th>");
        results.forEach(r -> html.append("<th>attainment, %s</th><th>TTFT p99, s</th>".formatted(name(r))));
        html.append("<th></th></tr>");
        List<SimulationResult.TenantResult> firsts =
                new ArrayList<>(results.getFirst().tenants());
        for (int i = 0; i < firsts.size(); i++) {
            int tenant = i;
            html.append("<tr><td>tenant ").append(firsts.get(i).tenant()).append("</td><td>");
            html.append(ResultTable.whole(firsts.get(i).requests())).append("</td>");
            results.forEach(r -> html.append("<td>%s %%</td><td>%s</td>"
                    .formatted(
                            ResultTable.percent(r.tenants().get(tenant).attainment()),
                            ResultTable.seconds(r.tenants().get(tenant).p99TtftSeconds()))));
            html.append("<td></td></tr>");
        }
        html.append("</table></div>");
    }
}
