package io.chorale.k8s;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** What one server said of itself in an overload ({@code src/test/k8s/record.mjs}), a scrape every few seconds. */
record Recording(String name, int scrapes, List<Series> series) {
    static final int SCRAPE_SECONDS = 5;

    /** @param values one a scrape, or one for all */
    private record Series(String name, String[] values) {
        String at(int scrape) {
            return values[Math.min(scrape, values.length - 1)];
        }
    }

    static Recording read(String name) throws IOException {
        List<Series> series = new ArrayList<>();
        int scrapes = 0;
        for (String line : Files.readAllLines(Path.of("src/test/k8s/overloads", name + ".txt"))) {
            if (!line.startsWith("#")) {
                String[] words = line.split(" ");
                String[] values = java.util.Arrays.copyOfRange(words, 1, words.length);
                series.add(new Series(words[0], values));
                scrapes = Math.max(scrapes, values.length);
            }
        }
        return new Recording(name, scrapes, series);
    }

    int seconds() {
        return (scrapes - 1) * SCRAPE_SECONDS;
    }

    /** In the form that promtool takes, with the labels that a PodMonitor gives. */
    String openMetrics(long beginSeconds) {
        StringBuilder text = new StringBuilder();
        for (Series one : series) {
            String labels = "namespace=\"chorale\",pod=\"chorale-0\"";
            String name = one.name().contains("{")
                    ? one.name().replace("{", "{" + labels + ",")
                    : one.name() + "{" + labels + "}";
            for (int scrape = 0; scrape < scrapes; scrape++) {
                text.append(name)
                        .append(' ')
                        .append(one.at(scrape))
                        .append(' ')
                        .append(beginSeconds + (long) scrape * SCRAPE_SECONDS)
                        .append('\n');
            }
        }
        return text.append("# EOF\n").toString();
    }
}
