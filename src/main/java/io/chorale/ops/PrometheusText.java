package io.chorale.ops;

import io.micrometer.core.instrument.Timer;
import io.micrometer.core.instrument.distribution.CountAtBucket;
import io.micrometer.core.instrument.distribution.HistogramSnapshot;
import java.util.concurrent.TimeUnit;

/** Writes metrics in Prometheus' text form (version 0.0.4), with labels that all of them have. */
final class PrometheusText {
    private final StringBuilder out = new StringBuilder(8192);
    private final String[] common;

    /** @param common names and values by turns */
    PrometheusText(String... common) {
        this.common = common;
    }

    void begin(String name, String type, String help) {
        out.append("# HELP ").append(name).append(' ').append(help).append('\n');
        out.append("# TYPE ").append(name).append(' ').append(type).append('\n');
    }

    /** @param labels names and values by turns */
    void sample(String name, double value, String... labels) {
        out.append(name).append('{');
        boolean first = labels(common, true);
        labels(labels, first);
        out.append("} ").append(value == Math.rint(value) && Math.abs(value) < 1e15 ? (Object) (long) value : value);
        out.append('\n');
    }

    private boolean labels(String[] labels, boolean first) {
        boolean isFirst = first;
        for (int i = 0; i < labels.length; i += 2) {
            if (!isFirst) {
                out.append(',');
            }
            isFirst = false;
            out.append(labels[i]).append("=\"").append(escaped(labels[i + 1])).append('"');
        }
        return isFirst;
    }

    private static String escaped(String value) {
        return value.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n");
    }

    void gauge(String name, String help, double value) {
        begin(name, "gauge", help);
        sample(name, value);
    }

    void counter(String name, String help, double value) {
        begin(name + "_total", "counter", help);
        sample(name + "_total", value);
    }

    void histogram(String name, String help, Timer timer) {
        begin(name, "histogram", help);
        HistogramSnapshot snapshot = timer.takeSnapshot();
        double count = snapshot.count();
        for (CountAtBucket bucket : snapshot.histogramCounts()) {
            double bound = bucket.bucket(TimeUnit.SECONDS);
            if (!Double.isInfinite(bound)) {
                sample(name + "_bucket", bucket.count(), "le", String.valueOf(bound));
                // Observed between the two reads.
                count = Math.max(count, bucket.count());
            }
        }
        sample(name + "_bucket", count, "le", "+Inf");
        sample(name + "_sum", snapshot.total(TimeUnit.SECONDS));
        sample(name + "_count", count);
    }

    @Override
    public String toString() {
        return out.toString();
    }
}
