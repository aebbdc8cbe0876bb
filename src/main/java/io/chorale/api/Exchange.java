package io.chorale.api;

import io.chorale.serving.RequestReport;
import io.chorale.serving.RequestReporter;
import io.chorale.serving.RequestTimes;
import io.vertx.core.http.HttpServerRequest;
import java.util.function.Consumer;

/** One request over HTTP, which is reported once when it has ended, however it does. Event loop only. */
final class Exchange {
    private final String requestId;
    private final String endpoint;
    private final Consumer<RequestReport> reporter;
    private String model = "";
    private boolean streamed;
    private boolean told;

    private Exchange(String requestId, String endpoint, Consumer<RequestReport> reporter) {
        this.requestId = requestId;
        this.endpoint = endpoint;
        this.reporter = reporter;
    }

    static Exchange begin(HttpServerRequest http, RequestReporter reporter) {
        return begin(http, reporter.begin());
    }

    /** @param reporter that was begun with the request, which may ask for several things */
    static Exchange begin(HttpServerRequest http, Consumer<RequestReport> reporter) {
        String id = http.response().headers().get(RequestIds.HEADER);
        String path = http.path();
        return new Exchange(id == null ? "" : id, path == null ? "" : path, reporter);
    }

    /** What it asks for is known. */
    void asks(CompletionRequest request) {
        model = request.model().reported();
        streamed = request.stream();
    }

    /** The request gets an error instead of an answer. */
    void refused(Throwable why) {
        if (told) {
            return;
        }
        told = true;
        int status = why instanceof Problem problem ? problem.status() : 500;
        String outcome = why instanceof Problem problem ? problem.code() : "internal_error";
        reporter.accept(new RequestReport(requestId, endpoint, model, streamed, status, outcome, 0, 0, 0, 0, 0, 0, 0));
    }

    /**
     * The request got an answer, or a part of one.
     *
     * @param outcome empty: as the first choice says
     */
    void ended(CompletionRequest request, Generation generation, String outcome) {
        if (told) {
            return;
        }
        told = true;
        int promptTokens = request.prompts().stream()
                .mapToInt(prompt -> prompt.ids().length)
                .sum();
        int answerTokens =
                generation.choices().stream().mapToInt(Choice::completionTokens).sum();
        RequestTimes times = generation.times();
        long decode = Math.max(0, generation.ageNanos() - times.queueNanos() - times.prefillNanos());
        reporter.accept(new RequestReport(
                requestId,
                endpoint,
                request.model().reported(),
                request.stream(),
                200,
                outcome.isEmpty() ? generation.choices().getFirst().finishReason() : outcome,
                request.choices(),
                promptTokens,
                answerTokens,
                times.queueNanos(),
                times.adapterNanos(),
                times.prefillNanos(),
                times.answered() ? decode : 0));
    }
}
