package io.chorale.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** What a server that runs says about itself: its models and its metrics. */
record RunningServer(URI address) {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int MILLIS_MAX = 10_000;

    /** The models that it serves: the base first, then adapters in the order of their names. */
    List<String> models() throws IOException {
        List<String> names = new ArrayList<>();
        for (JsonNode model : JSON.readTree(get("/v1/models")).path("data")) {
            names.add(model.path("id").asText());
        }
        if (names.isEmpty()) {
            throw new IOException(address + " serves no models");
        }
        return names;
    }

    /** The numbers of Prometheus's text format as they are now. */
    Metrics metrics() throws IOException {
        return new Metrics(System.nanoTime(), get("/q/metrics").lines().toList());
    }

    private String get(String path) throws IOException {
        HttpURLConnection connection =
                (HttpURLConnection) address.resolve(path).toURL().openConnection();
        connection.setConnectTimeout(MILLIS_MAX);
        connection.setReadTimeout(MILLIS_MAX);
        try (var in = connection.getInputStream()) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException failed) {
            throw new IOException(address.resolve(path) + ": " + failed.getMessage(), failed);
        }
    }

    /** @param nanos when they were read */
    record Metrics(long nanos, List<String> lines) {
        /** @param name with its labels as the format spells them; 0 where there is none */
        double value(String name) {
            for (String line : lines) {
                if (line.startsWith(name) && line.length() > name.length() && line.charAt(name.length()) == ' ') {
                    return Double.parseDouble(line.substring(name.length() + 1));
                }
            }
            return 0;
        }

        double since(Metrics before, String name) {
            return value(name) - before.value(name);
        }
    }
}
