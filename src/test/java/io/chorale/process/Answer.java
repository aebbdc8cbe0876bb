package io.chorale.process;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** A streamed answer as a client takes it, line by line, on a connection of its own. */
final class Answer {
    private static final Duration MAX = Duration.ofSeconds(60);

    private final BlockingQueue<String> lines = new LinkedBlockingQueue<>();
    private final CompletableFuture<Integer> status = new CompletableFuture<>();
    private final CompletableFuture<Boolean> endedWell = new CompletableFuture<>();

    private Answer() {}

    /** Asks for so many tokens. */
    static Answer stream(int port, int tokens) {
        Answer answer = new Answer();
        Thread.ofVirtual().start(() -> answer.read(port, tokens));
        return answer;
    }

    static HttpRequest request(int port, int tokens, boolean stream) {
        String body =
                "{\"model\":\"fable\",\"prompt\":[5,6,7],\"max_tokens\":" + tokens + ",\"stream\":" + stream + "}";
        return HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + "/v1/completions"))
                .header("Content-Type", "application/json")
                .timeout(MAX)
                .POST(HttpRequest.BodyPublishers.ofString(body, StandardCharsets.UTF_8))
                .build();
    }

    private void read(int port, int tokens) {
        try (HttpClient http =
                HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build()) {
            HttpResponse<Stream<String>> response =
                    http.send(request(port, tokens, true), HttpResponse.BodyHandlers.ofLines());
            status.complete(response.statusCode());
            response.body().forEach(lines::add);
            endedWell.complete(true);
        } catch (IOException | RuntimeException broken) {
            status.complete(0);
            endedWell.complete(false);
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }

    /** Waits for the first event: then the answer is under way. */
    Answer begun() throws InterruptedException {
        String first = lines.poll(MAX.toSeconds(), TimeUnit.SECONDS);
        if (first == null || !first.startsWith("data: {")) {
            throw new AssertionError("the answer does not begin: " + first);
        }
        return this;
    }

    int status() throws Exception {
        return status.get(MAX.toSeconds(), TimeUnit.SECONDS);
    }

    /** Whether HTTP says that nothing is missing. */
    boolean endedWell() throws Exception {
        return endedWell.get(MAX.toSeconds(), TimeUnit.SECONDS);
    }

    /** What any client library wants to see: an end of HTTP, a finish reason and the last line. */
    boolean isWhole() throws Exception {
        boolean ended = endedWell();
        List<String> all = List.copyOf(lines);
        return ended
                && status() == 200
                && all.contains("data: [DONE]")
                && all.stream().anyMatch(line -> line.contains("\"finish_reason\":\"length\""))
                && all.stream().noneMatch(line -> line.startsWith("event: error"));
    }

    boolean saysDone() {
        return lines.contains("data: [DONE]");
    }
}
