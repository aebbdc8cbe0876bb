package io.chorale.k8s;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.chorale.testing.Command;
import java.io.IOException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** Debian's Prometheus over a recording, with the rules of the manifests evaluated all along it. */
final class Prometheus implements AutoCloseable {
    /** Any time in the past; the middle of a block of two hours, so that a recording is in one. */
    private static final long BEGIN_SECONDS = 1_767_268_800;

    private static final long SECONDS_MAX = 60;
    private static final ObjectMapper JSON = new ObjectMapper();

    private final HttpClient http = HttpClient.newHttpClient();
    private final Process process;
    private final String url;

    private Prometheus(Process process, String url) {
        this.process = process;
        this.url = url;
    }

    /** @param rules a file of rules */
    static Prometheus replay(Recording recording, Path rules, Path folder) throws IOException, InterruptedException {
        if (Files.exists(folder)) {
            try (Stream<Path> old = Files.walk(folder)) {
                for (Path file : old.sorted(Comparator.reverseOrder()).toList()) {
                    Files.delete(file);
                }
            }
        }
        Path data = Files.createDirectories(folder.resolve("data"));
        Path metrics = folder.resolve("metrics.om");
        Files.writeString(metrics, recording.openMetrics(BEGIN_SECONDS));
        promtool("tsdb", "create-blocks-from", "openmetrics", metrics.toString(), data.toString());
        try (Prometheus server = start(folder, data)) {
            promtool(
                    "tsdb",
                    "create-blocks-from",
                    "rules",
                    "--url=" + server.url,
                    "--start=" + BEGIN_SECONDS,
                    "--end=" + (BEGIN_SECONDS + recording.seconds()),
                    "--eval-interval=" + Recording.SCRAPE_SECONDS + "s",
                    "--output-dir=" + data,
                    rules.toString());
        }
        return start(folder, data);
    }

    private static void promtool(String... arguments) throws IOException {
        List<String> command =
                Stream.concat(Stream.of("promtool"), Stream.of(arguments)).toList();
        Command.Result result = Command.run(SECONDS_MAX, command);
        if (result.status() != 0) {
            throw new IOException(command + ": " + result.output() + result.errors());
        }
    }

    private static Prometheus start(Path folder, Path data) throws IOException, InterruptedException {
        Path config = folder.resolve("prometheus.yaml");
        Files.writeString(config, "global: {}\n");
        int port;
        try (ServerSocket free = new ServerSocket(0)) {
            port = free.getLocalPort();
        }
        String address = "127.0.0.1:" + port;
        Process process = new ProcessBuilder(
                        "prometheus",
                        "--config.file=" + config,
                        "--storage.tsdb.path=" + data,
                        "--storage.tsdb.retention.time=100y",
                        "--web.listen-address=" + address)
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("prometheus.log").toFile())
                .start();
        Prometheus server = new Prometheus(process, "http://" + address);
        server.awaitReady(folder);
        return server;
    }

    private void awaitReady(Path folder) throws IOException, InterruptedException {
        long deadline = System.nanoTime() + Duration.ofSeconds(SECONDS_MAX).toNanos();
        while (System.nanoTime() < deadline && process.isAlive()) {
            try {
                if (get("/-/ready").statusCode() == 200) {
                    return;
                }
            } catch (IOException notYet) {
                // The port is not open.
            }
            Thread.sleep(100);
        }
        close();
        throw new IOException("Prometheus does not start: " + Files.readString(folder.resolve("prometheus.log")));
    }

    private HttpResponse<String> get(String path) throws IOException, InterruptedException {
        return http.send(HttpRequest.newBuilder(URI.create(url + path)).build(), HttpResponse.BodyHandlers.ofString());
    }

    /** The only series that a query answers, by seconds since the beginning; times without a number are left out. */
    TreeMap<Integer, Double> query(String query, int seconds, int stepSeconds)
            throws IOException, InterruptedException {
        String path = "/api/v1/query_range?query=" + URLEncoder.encode(query, StandardCharsets.UTF_8) + "&start="
                + BEGIN_SECONDS + "&end=" + (BEGIN_SECONDS + seconds) + "&step=" + stepSeconds;
        HttpResponse<String> response = get(path);
        JsonNode result = JSON.readTree(response.body()).at("/data/result");
        if (response.statusCode() != 200 || result.size() > 1) {
            throw new IOException(query + ": " + response.body());
        }
        TreeMap<Integer, Double> values = new TreeMap<>();
        result.path(0).path("values").forEach(point -> {
            double value = Double.parseDouble(point.path(1).asText());
            if (!Double.isNaN(value)) {
                values.put((int) (point.path(0).asLong() - BEGIN_SECONDS), value);
            }
        });
        return values;
    }

    @Override
    public void close() throws InterruptedException {
        process.destroy();
        if (!process.waitFor(10, TimeUnit.SECONDS)) {
            process.destroyForcibly();
        }
    }
}
