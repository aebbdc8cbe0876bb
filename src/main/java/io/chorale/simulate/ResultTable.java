package io.chorale.simulate;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;

/** The figures of one or more runs side by side: one line a figure, one column a run. */
final class ResultTable {
    /** @param worseWhen what it means, in a sentence */
    record Row(String name, String unit, Function<SimulationResult, String> value, String meaning) {}

    static final List<Row> ROWS = List.of(
            new Row("requests", "", r -> whole(r.requests()), "sent, tries again not counted"),
            new Row("served", "", r -> whole(r.served()), "answered to the end"),
            new Row("given up", "", r -> whole(r.aborted()), "by the server, and by the client after its last try"),
            new Row("refused", "", r -> whole((long) r.rejected() + r.refused()), "at the door, at the last try too"),
            new Row("tries again", "", r -> whole(r.retries()), "by clients, after a refusal"),
            new Row("attainment", "%", r -> percent(r.attainment()), "first token within the objective, of all"),
            new Row("satisfaction", "", r -> fixed(r.satisfaction(), 3), "mean of 1 - (ttft / objective)^2, of all"),
            new Row(
                    "goodput",
                    "req/s",
                    r -> fixed(r.goodput(), 2),
                    "met both objectives from the last try, by time of arrivals"),
            new Row("throughput", "req/s", r -> fixed(r.throughput(), 2), "served, by the whole time"),
            new Row("tokens", "1/s", r -> whole(Math.round(r.tokensPerSecond())), "of answers"),
            new Row("TTFT mean", "s", r -> seconds(r.ttftMean()), "of requests that got a token"),
            new Row("TTFT p50", "s", r -> seconds(r.ttftQuantile(0.5)), ""),
            new Row("TTFT p99", "s", r -> seconds(r.ttftQuantile(0.99)), ""),
            new Row("ITL p50", "s", r -> seconds(r.itlQuantile(0.5)), "gap between two tokens"),
            new Row("ITL p99", "s", r -> seconds(r.itlQuantile(0.99)), ""),
            new Row("latency mean", "s", r -> seconds(r.meanLatencySeconds()), "to the last token, of served ones"),
            new Row("per token mean", "s", r -> seconds(r.meanNormalisedLatency()), "latency by length of answer"),
            new Row("device busy", "%", r -> percent(r.busyShare()), "of the whole time"),
            new Row("steps", "", r -> whole(r.steps()), ""),
            new Row("preemptions", "", r -> whole(r.preemptions()), ""),
            new Row("adapter uploads", "", r -> whole(r.uploads()), ""),
            new Row("adapter evictions", "", r -> whole(r.evictions()), ""),
            new Row("merges", "", r -> whole(r.merges()), ""),
            new Row("merged time", "%", r -> percent(r.mergedShare()), "of the time in which devices computed"),
            new Row("virtual time", "s", r -> seconds(r.seconds()), "with the last answers"));

    private ResultTable() {}

    static String text(List<SimulationResult> results) {
        List<List<String>> lines = new ArrayList<>();
        List<String> head = new ArrayList<>(List.of("", ""));
        results.forEach(result -> head.add(result.policy()));
        lines.add(head);
        for (Row row : ROWS) {
            List<String> line = new ArrayList<>(List.of(row.name, row.unit));
            results.forEach(result -> line.add(row.value.apply(result)));
            lines.add(line);
        }
        int[] widths = new int[head.size()];
        for (List<String> line : lines) {
            for (int i = 0; i < widths.length; i++) {
                widths[i] = Math.max(widths[i], line.get(i).length());
            }
        }
        StringBuilder text = new StringBuilder();
        for (List<String> line : lines) {
            for (int i = 0; i < widths.length; i++) {
                String padding = " ".repeat(widths[i] - line.get(i).length());
                text.append(i < 2 ? line.get(i) + padding + "  " : "  " + padding + line.get(i));
            }
            text.append('\n');
        }
        return text.toString();
    }

    static String whole(long value) {
        return String.format(Locale.ROOT, "%,d", value);
    }

    static String fixed(double value, int places) {
        return Double.isNaN(value) ? "-" : String.format(Locale.ROOT, "%,." + places + "f", value);
    }

    static String percent(double share) {
        return fixed(100 * share, 1);
    }

    static String seconds(double value) {
        return fixed(value, Math.abs(value) < 0.1 ? 4 : Math.abs(value) < 10 ? 3 : 1);
    }
}
