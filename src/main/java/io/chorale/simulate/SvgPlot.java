package io.chorale.simulate;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * A plot as inline SVG: lines or stacked areas over one x axis, with ticks at round numbers, a legend above and a rule where
 * something is to be compared with. Colours are the CSS variables {@code --c0} to {@code --c8} of the page.
 */
final class SvgPlot {
    private static final int WIDTH = 560;
    private static final int HEIGHT = 250;
    private static final int LEFT = 64;
    private static final int RIGHT = 14;
    private static final int TOP = 12;
    private static final int BOTTOM = 38;
    private static final int COLOURS = 9;

    private record Series(String name, double[] x, double[] y) {}

    private record Rule(double x, String label) {}

    private final String title;
    private final String note;
    private final String xLabel;
    private final String yLabel;
    private final List<Series> series = new ArrayList<>();
    private final List<Rule> rules = new ArrayList<>();
    private boolean xLog;
    private boolean stacked;
    private boolean percent;
    private double yMax;

    SvgPlot(String title, String note, String xLabel, String yLabel) {
        this.title = title;
        this.note = note;
        this.xLabel = xLabel;
        this.yLabel = yLabel;
    }

    SvgPlot logarithmic() {
        xLog = true;
        return this;
    }

    /** Areas on top of each other, instead of lines. */
    SvgPlot stacked() {
        stacked = true;
        return this;
    }

    /** Shares from 0 to 1, written in percent. */
    SvgPlot percent() {
        percent = true;
        yMax = 1;
        return this;
    }

    SvgPlot line(String name, double[] x, double[] y) {
        series.add(new Series(name, x, y));
        return this;
    }

    SvgPlot rule(double x, String label) {
        rules.add(new Rule(x, label));
        return this;
    }

    boolean isEmpty() {
        return series.stream().allMatch(one -> one.x.length == 0);
    }

    // ---- drawing --------------------------------------------------------------------------------------------------

    /** Appends a figure. */
    void draw(StringBuilder html) {
        double[][] tops = tops();
        double xMin = Double.POSITIVE_INFINITY;
        double xMax = Double.NEGATIVE_INFINITY;
        double top = yMax;
        for (int s = 0; s < series.size(); s++) {
            for (int i = 0; i < series.get(s).x.length; i++) {
                xMin = Math.min(xMin, series.get(s).x[i]);
                xMax = Math.max(xMax, series.get(s).x[i]);
                if (yMax == 0) {
                    top = Math.max(top, tops[s][i]);
                }
            }
        }
        for (Rule rule : rules) {
            xMax = Math.max(xMax, rule.x * (xLog ? 1.3 : 1));
        }
        if (!(xMax > xMin)) {
            xMax = xMin + 1;
        }
        Axis x = new Axis(xMin, xMax, xLog);
        Axis y = new Axis(0, top <= 0 ? 1 : yMax == 0 ? top * 1.06 : top, false);
        html.append("<figure><figcaption><b>").append(Html.text(title)).append("</b> <span>");
        html.append(Html.text(note)).append("</span></figcaption>");
        legend(html);
        html.append("<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">"
                .formatted(WIDTH, HEIGHT, Html.text(title)));
        grid(html, x, y);
        for (int s = series.size() - 1; s >= 0; s--) {
            path(html, x, y, s, tops);
        }
        for (Rule rule : rules) {
            double at = px(x, rule.x);
            html.append("<line class=\"rule\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>"
                    .formatted(at, at, TOP, HEIGHT - BOTTOM));
            html.append("<text class=\"rule\" x=\"%.1f\" y=\"%d\" text-anchor=\"end\">%s</text>"
                    .formatted(at - 5, TOP + 10, Html.text(rule.label)));
        }
        html.append("</svg></figure>\n");
    }

    private double[][] tops() {
        double[][] tops = new double[series.size()][];
        for (int s = 0; s < tops.length; s++) {
            tops[s] = series.get(s).y.clone();
            for (int i = 0; stacked && s > 0 && i < tops[s].length; i++) {
                tops[s][i] += tops[s - 1][i];
            }
        }
        return tops;
    }

    private void legend(StringBuilder html) {
        if (series.size() < 2) {
            return;
        }
        html.append("<div class=\"legend\">");
        for (int s = 0; s < series.size(); s++) {
            html.append("<span><i style=\"background:var(--c%d)\"></i>%s</span> "
                    .formatted(s % COLOURS, Html.text(series.get(s).name)));
        }
        html.append("</div>");
    }

    private void grid(StringBuilder html, Axis x, Axis y) {
        for (double tick : y.ticks()) {
            double at = py(y, tick);
            html.append("<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                    .formatted(LEFT, WIDTH - RIGHT, at, at));
            html.append("<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>"
                    .formatted(LEFT - 6, at + 4, percent ? number(tick * 100) + "%" : number(tick)));
        }
        for (double tick : x.ticks()) {
            double at = px(x, tick);
            html.append("<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>"
                    .formatted(at, at, TOP, HEIGHT - BOTTOM));
            html.append("<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>"
                    .formatted(at, HEIGHT - BOTTOM + 15, number(tick)));
        }
        html.append("<text class=\"axis\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>"
                .formatted((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, Html.text(xLabel)));
        int middle = (TOP + HEIGHT - BOTTOM) / 2;
        html.append("<text class=\"axis\" transform=\"translate(14 %d) rotate(-90)\" text-anchor=\"middle\">%s</text>"
                .formatted(middle, Html.text(yLabel)));
    }

    private void path(StringBuilder html, Axis x, Axis y, int s, double[][] tops) {
        Series one = series.get(s);
        if (one.x.length == 0) {
            return;
        }
        StringBuilder line = new StringBuilder();
        for (int i = 0; i < one.x.length; i++) {
            line.append(i == 0 ? 'M' : 'L');
            line.append("%.1f %.1f".formatted(px(x, one.x[i]), py(y, Math.min(tops[s][i], y.max))));
        }
        if (stacked) {
            for (int i = one.x.length - 1; i >= 0; i--) {
                double under = s == 0 ? 0 : tops[s - 1][i];
                line.append("L%.1f %.1f".formatted(px(x, one.x[i]), py(y, Math.min(under, y.max))));
            }
            html.append("<path class=\"area\" style=\"fill:var(--c%d)\" d=\"%sZ\"><title>%s</title></path>"
                    .formatted(s % COLOURS, line, Html.text(one.name)));
        } else {
            html.append("<path class=\"line\" style=\"stroke:var(--c%d)\" d=\"%s\"><title>%s</title></path>"
                    .formatted(s % COLOURS, line, Html.text(one.name)));
        }
    }

    private static double px(Axis axis, double value) {
        return LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT);
    }

    private static double py(Axis axis, double value) {
        return HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - TOP - BOTTOM);
    }

    /** Short and exact enough for a tick: 0.05, 12, 3.5k. */
    static String number(double value) {
        double size = Math.abs(value);
        if (size >= 1e6) {
            return trimmed(value / 1e6) + "M";
        }
        return size >= 1e4 ? trimmed(value / 1e3) + "k" : trimmed(value);
    }

    private static String trimmed(double value) {
        String text = String.format(Locale.ROOT, Math.abs(value) >= 100 ? "%.0f" : "%.4g", value);
        if (text.contains(".") && !text.contains("e")) {
            text = text.replaceAll("0+$", "").replaceAll("\\.$", "");
        }
        return text;
    }

    /** A range of values, with ticks at round numbers. */
    private record Axis(double min, double max, boolean log) {
        private static final int TICKS = 6;

        double share(double value) {
            double clamped = Math.clamp(value, min, max);
            return log ? Math.log(clamped / min) / Math.log(max / min) : (clamped - min) / (max - min);
        }

        List<Double> ticks() {
            List<Double> ticks = new ArrayList<>();
            if (log) {
                int decade = (int) Math.floor(Math.log10(min));
                boolean between = max / min < 2000;
                for (; Math.pow(10, decade) <= max; decade++) {
                    for (int digit : between ? new int[] {1, 2, 5} : new int[] {1}) {
                        double tick = digit * Math.pow(10, decade);
                        if (tick >= min && tick <= max) {
                            ticks.add(tick);
                        }
                    }
                }
                return ticks;
            }
            double rough = (max - min) / TICKS;
            double power = Math.pow(10, Math.floor(Math.log10(rough)));
            double step = rough / power > 5
                    ? 10 * power
                    : rough / power > 2 ? 5 * power : rough / power > 1 ? 2 * power : power;
            for (double tick = Math.ceil(min / step) * step; tick <= max + step * 1e-9; tick += step) {
                ticks.add(tick);
            }
            return ticks;
        }
    }
}
