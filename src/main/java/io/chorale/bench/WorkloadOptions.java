package io.chorale.bench;

import java.net.URI;
import java.util.Arrays;
import java.util.List;

/**
 * What {@code ./chorale bench workload} is told; S-LoRA's setting S1 where it is told nothing.
 *
 * @param server where the server listens
 * @param adapters that requests ask for, the first ones of the server's list
 * @param alpha how evenly they do; 1: uniformly
 * @param rate requests a second
 * @param variation of the gaps between requests; 1: Poisson
 * @param seconds for which requests come
 * @param ranks of the adapters, for the record
 * @param objectiveSeconds within which a first token counts as in time
 */
record WorkloadOptions(
        URI server,
        int adapters,
        double alpha,
        double rate,
        double variation,
        double seconds,
        int[] ranks,
        double objectiveSeconds) {
    static final String USAGE = """
            bench workload [--url http://HOST:PORT] [--adapters N] [--alpha A] [--rate REQUESTS_PER_SECOND]
                           [--cv C] [--seconds S] [--ranks R,R,...] [--objective SECONDS]
            """;

    /** @throws IllegalArgumentException with a sentence for people */
    static WorkloadOptions of(List<String> arguments) {
        URI server = URI.create("http://localhost:8080");
        int adapters = 1000;
        double alpha = 1;
        double rate = 10;
        double variation = 1;
        double seconds = 120;
        int[] ranks = {8};
        double objective = 6;
        for (int i = 0; i < arguments.size(); i += 2) {
            String name = arguments.get(i);
            if (i + 1 == arguments.size()) {
                throw new IllegalArgumentException(name + " needs a value");
            }
            String value = arguments.get(i + 1);
            try {
                switch (name) {
                    case "--url" -> server = server(value);
                    case "--adapters" -> adapters = Integer.parseInt(value);
                    case "--alpha" -> alpha = Double.parseDouble(value);
                    case "--rate" -> rate = Double.parseDouble(value);
                    case "--cv" -> variation = Double.parseDouble(value);
                    case "--seconds" -> seconds = Double.parseDouble(value);
                    case "--ranks" ->
                        ranks = Arrays.stream(value.split(","))
                                .mapToInt(Integer::parseInt)
                                .toArray();
                    case "--objective" -> objective = Double.parseDouble(value);
                    default -> throw new IllegalArgumentException("workload does not know '" + name + "'");
                }
            } catch (NumberFormatException wrong) {
                throw new IllegalArgumentException(name + " " + value + ": is not a number", wrong);
            }
        }
        return new WorkloadOptions(server, adapters, alpha, rate, variation, seconds, ranks, objective);
    }

    private static URI server(String text) {
        URI uri = URI.create(text);
        if (!"http".equals(uri.getScheme()) || uri.getHost() == null || uri.getPort() < 0) {
            throw new IllegalArgumentException("--url " + text + ": must be http://HOST:PORT");
        }
        return uri;
    }
}
